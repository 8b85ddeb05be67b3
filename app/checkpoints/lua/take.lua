-- Take the right to write. 0 when a later attempt has it.
return is_late() and 0 or 1
