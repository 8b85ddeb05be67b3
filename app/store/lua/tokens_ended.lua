-- Get the revision at which the tokens of a subject, or of its tenant, were last ended.
-- KEYS[1] key prefix
-- ARGV[1] tenant, ARGV[2] subject or ''
-- Returns it as text, '0' for never.
-- include: keys
-- include: tokens

local last = redis.call('GET', end_key(ARGV[1], '')) or '0'
local of_subject = ARGV[2] ~= '' and redis.call('GET', end_key(ARGV[1], ARGV[2])) or '0'
return tonumber(of_subject) > tonumber(last) and of_subject or last
