"""Headers of lists that page by an offset."""


def page_headers(total: int, offset: int, shown: int) -> dict[str, str]:
    """Return the number of all matches, and the offset of the next page if there is one."""
    headers = {"X-Pagination-Total": str(total)}
    return headers if offset + shown >= total or not shown else {**headers, "X-Pagination-Next": str(offset + shown)}
