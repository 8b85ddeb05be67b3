/** Ids that pages make, such as those by which a request that is sent again is carried out once. */

/** Return a new id. `crypto.randomUUID` is only there with HTTPS. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
