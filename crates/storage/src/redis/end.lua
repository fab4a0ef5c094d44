-- Ends a run. KEYS: record, then the index of each state. ARGV: fence, state, name in
-- the indexes; for a completed one also answer, expires, milliseconds to keep it.
local known = redis.call('HMGET', KEYS[1], 'state', 'fence', 'expires')
if known[1] ~= '1' or known[2] ~= ARGV[1] then return 0 end
local expires = known[3]
redis.call('HSET', KEYS[1], 'state', ARGV[2])
if ARGV[4] then
  expires = ARGV[5]
  redis.call('HSET', KEYS[1], 'answer', ARGV[4], 'expires', expires)
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
redis.call('ZREM', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[1 + tonumber(ARGV[2])], expires, ARGV[3])
return 1
