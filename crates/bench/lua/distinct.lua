-- wrk: every request asks for an object of 1 KiB that nobody has asked for before.
-- The argument keeps the keys of one run apart from those of another.
local seed, number = "", 0

function init(arguments)
  seed = arguments[1]
end

function request()
  number = number + 1
  return wrk.format("GET", "/o/1k?" .. seed .. "-" .. number)
end
