-- Deletes records that are over. KEYS: the index of each state. ARGV: now, at most,
-- what records begin with.
local left = tonumber(ARGV[2])
local deleted = 0
for _, index in ipairs(KEYS) do
  if left > 0 then
    local over = redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[1], 'LIMIT', 0, left)
    for _, name in ipairs(over) do
      redis.call('UNLINK', ARGV[3] .. name)
      redis.call('ZREM', index, name)
    end
    left = left - #over
    deleted = deleted + #over
  end
end
return deleted
