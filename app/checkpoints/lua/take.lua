-- Take the right to write. Return 0 if the attempt may not have it.
return is_late() and 0 or 1
