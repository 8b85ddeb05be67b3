-- Take the right to write. Return 0 if a later attempt has it.
return is_late() and 0 or 1
