package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxNumber bounds plain numbers, as the original's int does.
const maxNumber = 1<<31 - 1

// parseNumber reads a decimal or 0x number.
func parseNumber(s string) (uint64, error) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		return strconv.ParseUint(hex, 16, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

func readNumber(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return nil, false
	}
	n, ok := r.number(e, it, s, maxNumber)
	return int(n), ok
}

func (r *resolver) number(e *entry, it Item, s string, limit uint64) (uint64, bool) {
	n, err := parseNumber(s)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n > limit:
		r.wants(e, it, "%s is too large: at most %d", clip(s), limit)
	case err != nil:
		r.wants(e, it, "%s is not a number", clip(strconv.Quote(s)))
	default:
		return n, true
	}
	return 0, false
}

func readPort(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return nil, false
	}
	return r.port(it, s)
}

// octetUnits and timeUnits are the units behind numbers.
var (
	octetUnits = map[string]uint64{
		"B": 1, "byte": 1, "bytes": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30,
	}
	timeUnits = map[string]uint64{
		"sec": 1, "secs": 1, "second": 1, "seconds": 1, "min": 60, "mins": 60, "minute": 60,
		"minutes": 60, "hour": 3600, "hours": 3600, "day": 86400, "days": 86400,
	}
)

func readOctets(r *resolver, e *entry) (any, bool) {
	n, ok := r.quantity(e, octetUnits, 1<<62)
	return n, ok
}

// maxSeconds bounds times to a hundred years, which no arithmetic overflows.
const maxSeconds = 100 * 366 * 86400

// span is a time that has an end.
var span = value{"NUMBER [sec | min | hours | days]", readSpan}

func readSpan(r *resolver, e *entry) (any, bool) {
	if e.body == nil && len(e.args) == 1 && e.args[0].Text == "infinite" {
		r.wants(e, e.args[0], "%s cannot be infinite", e.dir.name)
		return nil, false
	}
	return readTime(r, e)
}

func readTime(r *resolver, e *entry) (any, bool) {
	n, ok := r.quantity(e, timeUnits, maxSeconds)
	return time.Duration(n) * time.Second, ok
}

// quantity reads a number with a unit; infinite is 0.
func (r *resolver) quantity(e *entry, units map[string]uint64, limit uint64) (uint64, bool) {
	if e.body != nil || len(e.args) != 2 {
		it, s, ok := r.single(e)
		if !ok {
			return 0, false
		}
		if s == "infinite" {
			return 0, true
		}
		if i := strings.LastIndexAny(s, "0123456789") + 1; i > 0 && units[s[i:]] != 0 {
			r.errorf("bad-value", it, fmt.Sprintf("write: %s %s %s;", e.dir.name, s[:i], s[i:]),
				"a space is missing between the number and its unit")
			return 0, false
		}
		return r.number(e, it, s, limit)
	}
	number, okNumber := r.text(e.args[0])
	unit, okUnit := r.text(e.args[1])
	if !okNumber || !okUnit {
		return 0, false
	}
	n, ok := r.number(e, e.args[0], number, limit)
	if !ok {
		return 0, false
	}
	factor := units[unit]
	switch {
	case factor == 0:
		r.wants(e, e.args[1], "%s is not a unit of %s", clip(strconv.Quote(unit)), e.dir.name)
	case n > limit/factor:
		r.wants(e, e.args[0], "%s %s is too large", clip(number), unit)
	default:
		return n * factor, true
	}
	return 0, false
}
