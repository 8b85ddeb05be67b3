-- List the live signing secrets.
-- KEYS[1] key prefix
-- Returns id, secret and time of each, the newest first.
-- include: keys
-- include: tokens

return signing_secrets()
