-- Takes a key when nobody has it: it is new, over, failed, or its lease is.
-- KEYS: record, then the index of each state. ARGV: body, now, lease, expires,
-- milliseconds to keep it at most, name in the indexes.
local known = redis.call('HMGET', KEYS[1], 'body', 'state', 'fence', 'lease', 'expires', 'answer')
local now = tonumber(ARGV[2])
local fence = now
if known[1] then
  if tonumber(known[5]) > now then
    if known[1] ~= ARGV[1] then return {'other'} end
    if known[2] == '2' then return {'completed', known[6]} end
    if known[2] == '1' and tonumber(known[4]) > now then return {'processing', known[4]} end
  end
  fence = math.max(now, tonumber(known[3]) + 1)
  redis.call('ZREM', KEYS[1 + tonumber(known[2])], ARGV[6])
  redis.call('DEL', KEYS[1])
end
local text = string.format('%.0f', fence)
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'state', '1', 'fence', text, 'lease', ARGV[3], 'expires', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[6])
return {'run', text}
