-- The queue on a Redis server: the rules of scheduler.rs in Lua, step by step,
-- so that both answer alike (tests/same.rs compares them).
--
-- One run carries out a batch of calls. KEYS[1] is the prefix of all keys; ARGV
-- has the time (0: the server's), three limits, the policies of the queues in
-- use and then the calls. The answer has one element a call.
--
-- Keys after the prefix, q a queue, t a tenant, r a rank (0 is critical):
--   all            hash    open tasks, last lease number, calls so far
--   queues         set     the queues in use
--   task:<id>      hash    a task
--   queue:q        hash    figures and flags of a queue
--   delayed:q leased:q timers:q      zset  by time: ids, ids, tenants
--   ring:q:r       zset    tenants by ticket
--   tenant:q:t     hash    figures of a tenant
--   unique:q:t     hash    unique key -> id
--   lane:q:r:t     zset    ids by their place in line
--   running:q:t    hash    concurrency key -> tasks given out
--   admitted:q:t\0key waiting:q:t\0key  zset  ids by rank and place

local call, P = redis.call, KEYS[1]
local MOVED, PERIOD, MEMORY, ALMOST, RANK = 4096, 15, 60, 1e-9, 2 ^ 48
local floor, ceil, max, min, exp, format = math.floor, math.ceil, math.max, math.min, math.exp, string.format

local cursor = 0
local function arg()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function number() return tonumber(arg()) end
local function maybe(text) if text ~= '' then return text end end

local now = number()
if now == 0 then
  local time = call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local CAPACITY, QUEUE_CAPACITY, QUEUES = number(), number(), number()
local given, decoded = {}, {}
for _ = 1, number() do
  local name = arg()
  given[name] = arg()
end

-- Policies: lease (us), c, k (limits), r (rate: c, p in us, b), t and ts (rules: w, c, r).
local function policy(name)
  if not decoded[name] then
    decoded[name] = given[name] and cjson.decode(given[name]) or { lease = 30000000, t = { w = 1 }, ts = {} }
  end
  return decoded[name]
end

-- ------------------------------------------------------------- records
-- Hashes of numbers, read once a run; what changed is written at its end.
local records = {}

local function record(key)
  local found = records[key]
  if not found then
    local flat = call('HGETALL', key)
    local fields, old = {}, {}
    for i = 1, #flat, 2 do
      local value = tonumber(flat[i + 1])
      fields[flat[i]], old[flat[i]] = value, value
    end
    found = { fields = fields, old = old, exists = #flat > 0 }
    -- A field that was never set is 0.
    setmetatable(fields, { __index = function() return 0 end })
    records[key] = found
  end
  return found
end

local function forget(key)
  call('DEL', key)
  records[key] = nil
end

local function save()
  for key, entry in pairs(records) do
    local changed = {}
    for field, value in pairs(entry.fields) do
      if entry.old[field] ~= value then
        changed[#changed + 1] = field
        changed[#changed + 1] = format('%.17g', value)
      end
    end
    if #changed > 0 then call('HSET', key, unpack(changed)) end
  end
end

local all = record(P .. 'all').fields
local queues, rings = {}, {}

local function queue(name)
  local q = queues[name]
  if not q then
    local entry = record(P .. 'queue:' .. name)
    q = { name = name, exists = entry.exists, f = entry.fields, policy = policy(name), tenants = {} }
    queues[name] = q
  end
  return q
end

local function tenant(q, name)
  local t = q.tenants[name]
  if not t then
    t = { name = name, at = q.name .. ':' .. name, rule = q.policy.ts[name] or q.policy.t }
    t.f = record(P .. 'tenant:' .. t.at).fields
    q.tenants[name] = t
  end
  return t
end

-- How many takers could have something to look for.
local function ring(q, count) rings[q.name] = (rings[q.name] or 0) + count end

-- ------------------------------------------------------------- tokens
local function level(f, rate)
  if f.filled == 0 then return rate.b, now end
  local elapsed = max(now - f.filled, 0)
  return min(f.tokens + elapsed * rate.c / rate.p, rate.b), max(f.filled, now)
end

local function reaches(f, rate, wanted)
  local tokens, at = level(f, rate)
  local missing = wanted - ALMOST - tokens
  if missing <= 0 then return now end
  return at + ceil(missing * rate.p / rate.c)
end

local function spend(f, rate)
  local tokens, at = level(f, rate)
  f.tokens, f.filled = max(tokens - 1, 0), at
end

-- ------------------------------------------------------------- meters
local function per_s(f, meter)
  local rate = f[meter]
  if rate == 0 then return 0 end
  return rate * exp(-max(now - f[meter .. '_at'], 0) / 1000000 / MEMORY)
end

local function count(f, total, meter)
  f[total] = f[total] + 1
  if meter then
    f[meter] = per_s(f, meter) + 1 / MEMORY
    f[meter .. '_at'] = max(f[meter .. '_at'], now)
  end
end

-- ------------------------------------------------------------- turns
local LENGTH = { [0] = 'length0', 'length1', 'length2', 'length3' }
local TICKET = { [0] = 'ticket0', 'ticket1', 'ticket2', 'ticket3' }
local DEFICIT = { [0] = 'deficit0', 'deficit1', 'deficit2', 'deficit3' }
local READY = { [0] = 'ready0', 'ready1', 'ready2', 'ready3' }
local SIZE = { [0] = 'ring0', 'ring1', 'ring2', 'ring3' }

local function ring_key(q, rank) return P .. 'ring:' .. q.name .. ':' .. rank end
local function lane_key(q, rank, t) return P .. 'lane:' .. q.name .. ':' .. rank .. ':' .. t.name end

local function leave(q, t, rank)
  t.f[DEFICIT[rank]], t.f[TICKET[rank]] = 0, 0
  q.f[SIZE[rank]] = q.f[SIZE[rank]] - 1
  call('ZREM', ring_key(q, rank), t.name)
end

local function join(q, t, rank)
  q.f.ticket = q.f.ticket + 1
  if t.f[TICKET[rank]] == 0 then q.f[SIZE[rank]] = q.f[SIZE[rank]] + 1 end
  t.f[TICKET[rank]] = q.f.ticket
  call('ZADD', ring_key(q, rank), q.f.ticket, t.name)
end

-- A tenant takes part exactly where it has something that may be given out.
local function sync(q, t)
  local limit = t.rule.c
  local held = t.f.parked > 0 or (limit and t.f.running >= limit)
  for rank = 0, 3 do
    local should, does = not held and t.f[LENGTH[rank]] > 0, t.f[TICKET[rank]] > 0
    if should and not does then
      join(q, t, rank)
    elseif does and not should then
      leave(q, t, rank)
    end
  end
end

local function turn(q)
  local n, rank = q.f.turn + 1, 0
  while n % 2 == 0 do
    n, rank = n / 2, rank + 1
  end
  if q.f[SIZE[rank]] > 0 then return rank end
  for other = 0, 3 do
    if q.f[SIZE[other]] > 0 then return other end
  end
end

local function chosen(q, t, rank)
  q.f.turn = (q.f.turn + 1) % PERIOD
  local deficit = t.f[DEFICIT[rank]]
  if deficit == 0 then deficit = t.rule.w end
  t.f[DEFICIT[rank]] = deficit - 1
  if deficit == 1 and q.f[SIZE[rank]] > 1 then join(q, t, rank) end
end

-- ------------------------------------------------------------- lanes and keys
-- A task in hand: id, rank, seq, key, t.
local function lane_in(q, t, rank, seq, id)
  call('ZADD', lane_key(q, rank, t), seq, id)
  t.f[LENGTH[rank]], q.f[READY[rank]] = t.f[LENGTH[rank]] + 1, q.f[READY[rank]] + 1
end

local function lane_out(q, t, rank, id)
  call('ZREM', lane_key(q, rank, t), id)
  t.f[LENGTH[rank]], q.f[READY[rank]] = t.f[LENGTH[rank]] - 1, q.f[READY[rank]] - 1
end

local function move(from, to, score, id)
  call('ZREM', from, id)
  call('ZADD', to, score, id)
end

-- Admits as many of a key as could run, the most urgent first.
local function settle(q, t, key)
  local running = tonumber(call('HGET', P .. 'running:' .. t.at, key) or 0)
  local room = max((q.policy.k or 2 ^ 32) - running, 0)
  local suffix = t.at .. '\0' .. key
  local admitted, waiting = P .. 'admitted:' .. suffix, P .. 'waiting:' .. suffix
  while true do
    local size = call('ZCARD', admitted)
    local best = call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
    local worst = size >= room and call('ZRANGE', admitted, -1, -1, 'WITHSCORES') or {}
    local swap = best[1] and worst[1] and tonumber(best[2]) < tonumber(worst[2])
    if size > room or (size == room and swap) then
      local score = tonumber(worst[2])
      move(admitted, waiting, score, worst[1])
      lane_out(q, t, floor(score / RANK), worst[1])
      q.f.blocked = q.f.blocked + 1
    elseif size == room or not best[1] then
      return
    else
      local score = tonumber(best[2])
      move(waiting, admitted, score, best[1])
      lane_in(q, t, floor(score / RANK), score % RANK, best[1])
      q.f.blocked = q.f.blocked - 1
    end
  end
end

local function insert(q, t, task)
  if task.key then
    call('ZADD', P .. 'waiting:' .. t.at .. '\0' .. task.key, task.rank * RANK + task.seq, task.id)
    q.f.blocked = q.f.blocked + 1
    settle(q, t, task.key)
  else
    lane_in(q, t, task.rank, task.seq, task.id)
  end
  sync(q, t)
end

local function remove(q, t, task)
  if not task.key then
    lane_out(q, t, task.rank, task.id)
  else
    local suffix = t.at .. '\0' .. task.key
    if call('ZREM', P .. 'waiting:' .. suffix, task.id) == 1 then
      q.f.blocked = q.f.blocked - 1
    elseif call('ZREM', P .. 'admitted:' .. suffix, task.id) == 1 then
      lane_out(q, t, task.rank, task.id)
    end
    settle(q, t, task.key)
  end
  sync(q, t)
end

local function finish_run(q, t, task)
  q.f.running, t.f.running = q.f.running - 1, t.f.running - 1
  if task.key then
    local key = P .. 'running:' .. t.at
    if call('HINCRBY', key, task.key, -1) <= 0 then call('HDEL', key, task.key) end
    settle(q, t, task.key)
  end
  sync(q, t)
end

-- ------------------------------------------------------------- tenants
local function arm(q, t, at)
  if t.f.timer > 0 and t.f.timer <= at then return end
  t.f.timer = at
  call('ZADD', P .. 'timers:' .. q.name, at, t.name)
end

local function drop_idle(q, t)
  if t.f.open > 0 then return end
  local full_at = t.rule.r and reaches(t.f, t.rule.r, t.rule.r.b) or now
  if full_at > now then
    arm(q, t, full_at)
  else
    if t.f.timer > 0 then call('ZREM', P .. 'timers:' .. q.name, t.name) end
    forget(P .. 'tenant:' .. t.at)
    q.tenants[t.name] = nil
  end
end

local function wake(q, t)
  t.f.timer = 0
  if t.f.parked > now then return arm(q, t, t.f.parked) end
  if t.f.parked > 0 then
    t.f.parked = 0
    sync(q, t)
  end
  drop_idle(q, t)
end

-- ------------------------------------------------------------- tasks
local function task_key(id) return P .. 'task:' .. id end

-- The task with this id, if it is open in this queue.
local function open_task(name, id)
  local v = call('HMGET', task_key(id), 'q', 't', 'r', 's', 'k', 'u', 'state', 'at', 'n')
  if v[1] ~= name then return end
  local task = { id = id, rank = tonumber(v[3]), seq = tonumber(v[4]), key = v[5] or nil, unique = v[6] or nil }
  task.state, task.at, task.lease = v[7], tonumber(v[8]), tonumber(v[9])
  local q = queue(name)
  return task, q, tenant(q, v[2])
end

local function set(task, state, at)
  call('HSET', task_key(task.id), 'state', state, 'at', at, 's', task.seq)
end

-- Among the delayed, or in line: ready since then.
local function place(q, t, task, not_before, since)
  if not_before and not_before > now then
    task.seq = 0
    set(task, 'delayed', not_before)
    call('ZADD', P .. 'delayed:' .. q.name, not_before, task.id)
  else
    if task.seq == 0 then
      q.f.seq = q.f.seq + 1
      task.seq = q.f.seq
    end
    set(task, 'ready', since or now)
    insert(q, t, task)
  end
end

local function unlease(q, t, task)
  call('ZREM', P .. 'leased:' .. q.name, task.id)
  finish_run(q, t, task)
end

local function close(q, t, task)
  if task.state == 'leased' then
    unlease(q, t, task)
  elseif task.state == 'delayed' then
    call('ZREM', P .. 'delayed:' .. q.name, task.id)
  else
    remove(q, t, task)
  end
  call('DEL', task_key(task.id))
  if task.unique then call('HDEL', P .. 'unique:' .. t.at, task.unique) end
  q.f.open, t.f.open, all.open = q.f.open - 1, t.f.open - 1, all.open - 1
  drop_idle(q, t)
end

local function due(kind, q) return call('ZRANGEBYSCORE', P .. kind .. ':' .. q.name, '-inf', now, 'LIMIT', 0, MOVED) end

-- Moves what became due; nothing more becomes due within one run.
local function advance(q)
  if q.advanced or not q.exists then return end
  q.advanced = true
  for _, id in ipairs(due('delayed', q)) do
    local task, _, t = open_task(q.name, id)
    call('ZREM', P .. 'delayed:' .. q.name, id)
    place(q, t, task, nil, task.at)
  end
  for _, name in ipairs(due('timers', q)) do
    call('ZREM', P .. 'timers:' .. q.name, name)
    wake(q, tenant(q, name))
  end
end

-- The same, after the leases that ran out.
local function expire(q)
  if q.expired or not q.exists then return end
  q.expired = true
  for _, id in ipairs(due('leased', q)) do
    local task, _, t = open_task(q.name, id)
    unlease(q, t, task)
    count(q.f, 'expired')
    place(q, t, task, nil, task.at)
  end
  advance(q)
end

-- ------------------------------------------------------------- queues
local function is_idle(q)
  local flags = q.f.open + q.f.paused + q.f.configured
  return flags == 0 and call('ZCARD', P .. 'timers:' .. q.name) == 0
end

-- Brings a queue into use; idle ones make room when there are too many.
local function ensure(name)
  local q = queue(name)
  if q.exists then return q end
  if call('SCARD', P .. 'queues') >= QUEUES then
    for _, other in ipairs(call('SMEMBERS', P .. 'queues')) do
      if is_idle(queue(other)) then
        call('SREM', P .. 'queues', other)
        forget(P .. 'queue:' .. other)
        queues[other] = nil
      end
    end
  end
  if call('SCARD', P .. 'queues') >= QUEUES then return end
  call('SADD', P .. 'queues', name)
  q = queue(name)
  q.exists, q.f.used = true, 1
  return q
end

-- ------------------------------------------------------------- taking
-- The task whose turn it is, or when to look again.
local function find(q)
  while true do
    local limit, rate = q.policy.c, q.policy.r
    local rank = turn(q)
    if not rank or q.f.paused > 0 or (limit and q.f.running >= limit) then return end
    local ready_at = rate and reaches(q.f, rate, 1) or now
    if ready_at > now then
      q.later = ready_at
      return
    end
    local t = tenant(q, call('ZRANGE', ring_key(q, rank), 0, 0)[1])
    ready_at = t.rule.r and reaches(t.f, t.rule.r, 1) or now
    if ready_at <= now then return rank, t, call('ZRANGE', lane_key(q, rank, t), 0, 0)[1] end
    t.f.parked = ready_at
    sync(q, t)
    arm(q, t, ready_at)
  end
end

local function begin(q, t, rank, id, key)
  q.f.running, t.f.running = q.f.running + 1, t.f.running + 1
  if q.policy.r then spend(q.f, q.policy.r) end
  chosen(q, t, rank)
  lane_out(q, t, rank, id)
  if key then
    call('ZREM', P .. 'admitted:' .. t.at .. '\0' .. key, id)
    call('HINCRBY', P .. 'running:' .. t.at, key, 1)
    settle(q, t, key)
  end
  if t.rule.r then
    spend(t.f, t.rule.r)
    local ready_at = reaches(t.f, t.rule.r, 1)
    t.f.parked = ready_at > now and ready_at or 0
    if ready_at > now then arm(q, t, ready_at) end
  end
  sync(q, t)
end

local function take_one(q, worker)
  local rank, t, id = find(q)
  if not rank then return end
  local key = task_key(id)
  local v = call('HMGET', key, 'k', 'u', 'nb', 'b', 'd')
  begin(q, t, rank, id, v[1] or nil)
  count(q.f, 'taken', 'take')
  all.lease = max(all.lease + 1, now)
  local expires, delivery = now + q.policy.lease, tonumber(v[5]) + 1
  call('ZADD', P .. 'leased:' .. q.name, expires, id)
  call('HSET', key, 'state', 'leased', 'at', expires, 'n', all.lease, 'w', worker, 'd', delivery)
  return { id, q.name, t.name, rank, v[1] or '', v[2] or '', v[3] or '', v[4], all.lease, expires, delivery }
end

local function first(kind, q) return tonumber(call('ZRANGE', P .. kind .. ':' .. q.name, 0, 0, 'WITHSCORES')[2]) end

-- How long until something becomes due by itself; -1 for never.
local function next_wake(names)
  local soonest
  for _, name in ipairs(names) do
    local q = queue(name)
    for _, at in pairs({ a = q.later, b = first('delayed', q), c = first('leased', q), d = first('timers', q) }) do
      if not soonest or at < soonest then soonest = at end
    end
  end
  return soonest and max(soonest - now, 0) or -1
end

