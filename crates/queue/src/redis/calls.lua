-- The calls of the queue; follows queue.lua in the same script.

local calls = {}

function calls.offer()
  local id, name, owner, rank, key, unique, not_before, payload =
    arg(), arg(), arg(), number(), maybe(arg()), maybe(arg()), maybe(arg()), arg()
  advance(queue(name))
  if call('EXISTS', task_key(id)) == 1 then return id end
  local twin = unique and call('HGET', P .. 'unique:' .. name .. ':' .. owner, unique)
  if twin then return twin end
  if all.open >= CAPACITY then return 'full' end
  if queue(name).exists and queue(name).f.open >= QUEUE_CAPACITY then return 'queue full' end
  local q = ensure(name)
  if not q then return 'too many queues' end
  local t = tenant(q, owner)
  q.f.open, t.f.open, all.open = q.f.open + 1, t.f.open + 1, all.open + 1
  count(q.f, 'offered', 'offer')
  local fields = { 'q', name, 't', owner, 'r', rank, 'd', 0, 'b', payload }
  for field, value in pairs({ k = key, u = unique, nb = not_before }) do
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  call('HSET', task_key(id), unpack(fields))
  if unique then call('HSET', P .. 'unique:' .. t.at, unique, id) end
  place(q, t, { id = id, rank = rank, seq = 0, key = key }, tonumber(not_before))
  ring(q, 1)
  return ''
end

function calls.take()
  local worker, credits, names, open, leases = arg(), number(), {}, {}, {}
  for i = 1, number() do
    names[i] = arg()
    expire(queue(names[i]))
  end
  all.calls = all.calls + 1
  for i = 1, #names do
    open[i] = queue(names[(i - 1 + all.calls) % #names + 1])
  end
  while #leases < credits and #open > 0 do
    local kept = {}
    for _, q in ipairs(open) do
      local lease = #leases < credits and take_one(q, worker)
      if lease then
        leases[#leases + 1] = lease
        kept[#kept + 1] = q
      end
    end
    open = kept
  end
  return { leases, next_wake(names) }
end

-- The task, its queue and its tenant, when it is held under this lease.
local function held()
  local name, id, lease = arg(), arg(), number()
  local task, q, t = open_task(name, id)
  if task and task.state == 'leased' and task.lease == lease then return task, q, t end
end

function calls.extend()
  local task, q = held()
  if not task then return 0 end
  local until_us = now + q.policy.lease
  call('ZADD', P .. 'leased:' .. q.name, until_us, task.id)
  call('HSET', task_key(task.id), 'at', until_us)
  return until_us
end

local function ring_if_ready(q) if turn(q) then ring(q, 1) end end

function calls.finish()
  local task, q, t = held()
  if not task then return 0 end
  close(q, t, task)
  count(q.f, 'finished', 'finish')
  ring_if_ready(q)
  return 1
end

function calls.release()
  local task, q, t = held()
  local not_before = tonumber(arg())
  if not task then return 0 end
  advance(q)
  unlease(q, t, task)
  count(q.f, 'released')
  place(q, t, task, not_before, min(task.at, now))
  ring(q, 1)
  return 1
end

function calls.cancel()
  local name, id = arg(), arg()
  local task, q, t = open_task(name, id)
  if not task then return 0 end
  close(q, t, task)
  count(q.f, 'cancelled')
  ring_if_ready(q)
  return 1
end

function calls.configure()
  local name, configured = arg(), number()
  local q = ensure(name)
  if not q then return 0 end
  q.f.configured = configured
  ring(q, 1000)
  return 1
end

function calls.pause()
  local name, paused = arg(), number()
  local q = ensure(name)
  if not q then return 0 end
  q.f.paused = paused
  ring(q, 1000)
  return 1
end

function calls.standing()
  local name, id = arg(), arg()
  local task, _, t = open_task(name, id)
  if not task then return {} end
  if task.state == 'leased' then return { 'leased', task.at, call('HGET', task_key(id), 'w') } end
  local waits = task.key and call('ZSCORE', P .. 'waiting:' .. t.at .. '\0' .. task.key, id)
  return { task.state == 'ready' and waits and 'blocked' or task.state, task.at }
end

-- When the task was ready that has been for longest, of those next in line; of
-- each ring the first 1,000 tenants are looked at.
local function oldest(q)
  local since = 0
  for rank = 0, 3 do
    for _, name in ipairs(call('ZRANGE', ring_key(q, rank), 0, 999)) do
      local id = call('ZRANGE', lane_key(q, rank, tenant(q, name)), 0, 0)[1]
      local at = tonumber(call('HGET', task_key(id), 'at'))
      if since == 0 or at < since then since = at end
    end
  end
  return since
end

function calls.stats()
  local q = queue(arg())
  expire(q)
  local f, since = q.f, oldest(q)
  local answer = { since > 0 and max(now - since, 0) or -1, call('ZCARD', P .. 'delayed:' .. q.name) }
  for _, field in ipairs({ 'ready0', 'ready1', 'ready2', 'ready3', 'blocked', 'running', 'paused',
    'offered', 'taken', 'finished', 'released', 'expired', 'cancelled' }) do
    answer[#answer + 1] = f[field]
  end
  for _, meter in ipairs({ 'offer', 'take', 'finish' }) do
    answer[#answer + 1] = format('%.17g', per_s(f, meter))
  end
  return answer
end

function calls.queues() return call('SMEMBERS', P .. 'queues') end

-- A mark that is gone when everything is gone.
function calls.mark()
  local time = call('TIME')
  call('SET', P .. 'mark', time[1] * 1000000 + time[2], 'NX')
  return call('GET', P .. 'mark')
end

local answers = {}
while cursor < #ARGV do
  answers[#answers + 1] = calls[arg()]()
end
save()
for name, many in pairs(rings) do
  call('PUBLISH', P .. 'wake', name .. ' ' .. many)
end
return answers
