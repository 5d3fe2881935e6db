-- wrk: every object of 1 KiB is asked for twice in a row, so that a disk store takes it.
-- The argument keeps the keys of one run apart from those of another.
local seed, number = "", 0

function init(arguments)
  seed = arguments[1]
end

function request()
  number = number + 1
  return wrk.format("GET", "/o/1k?" .. seed .. "-" .. math.floor(number / 2))
end
