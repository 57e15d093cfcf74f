-- Takes tokens of a bucket that all replicas share.
--
-- KEYS[1]  the bucket: the time at which it is full (GCRA's theoretical arrival time), in µs since 1970
-- ARGV     µs in which one token grows, capacity in tokens, tokens requested, tokens returned
-- returns  tokens granted, tokens left
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full_at = math.max(now, (tonumber(redis.call('GET', KEYS[1])) or now) - ARGV[4] * interval)
local left = math.max(0, math.floor(burst - (full_at - now) / interval))
local granted = math.min(left, tonumber(ARGV[3]))
full_at = full_at + granted * interval
-- A missing bucket is full.
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return { granted, left - granted }
