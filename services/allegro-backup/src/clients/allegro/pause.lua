-- Begins a pause after a 429, in Redis, and returns 1 when everyone pauses.
-- KEYS: the pause of everyone, the pause of the subject, the accounts that met 429 lately
-- ARGV: the account, or '' for a request without one; the pause in ms; how long a 429 of an account counts, in ms
local wait = tonumber(ARGV[2])
local function pause(key)
  if redis.call('PTTL', key) < wait then
    redis.call('SET', key, '429', 'PX', wait)
  end
end
pause(KEYS[2])
if ARGV[1] == '' then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
if redis.call('ZCARD', KEYS[3]) < 2 then
  return 0
end
pause(KEYS[1])
return 1
