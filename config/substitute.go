package config

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of substitution: setval values may name one another, and a few lines
// can ask for more text than any machine holds.
const (
	maxExpansions    = 1000      // substitutions in one value
	maxExpanded      = 16 << 10  // octets of one value
	maxExpandedTotal = 256 << 20 // octets of all values and of every step on the way to them
)

// symbol is one setval.
type symbol struct {
	pos   Pos
	value string
	used  bool
}

// expander replaces ${NAME} by the value of a setval and $[NAME] by an
// environment variable.
type expander struct {
	symbols   map[string]*symbol
	lookupEnv func(string) (string, bool)
	total     int
}

// Errors of substitution; they are wrapped with the name concerned.
var (
	errUndefined = errors.New("is not defined")
	errFormat    = errors.New("is never closed")
	errEndless   = errors.New("the substitution does not end: does a setval name itself?")
	errTooLong   = fmt.Errorf("the text grows beyond %d octets", maxExpanded)
	errTooMuch   = fmt.Errorf("all values together grow beyond %d MB", maxExpandedTotal>>20)
)

// undefinedError says which name has no value.
type undefinedError struct {
	name string
	env  bool
}

func (e *undefinedError) Error() string {
	if e.env {
		return fmt.Sprintf("the environment variable %s %v", e.name, errUndefined)
	}
	return fmt.Sprintf("${%s} %v", e.name, errUndefined)
}

func (e *undefinedError) Unwrap() error { return errUndefined }

// expand substitutes ${} first and then $[], over and over until none is left.
func (x *expander) expand(text string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	for range maxExpansions {
		next, done, err := x.step(text)
		if err != nil {
			return "", err
		}
		if done {
			return text, nil
		}
		const step = 64 // even an empty step costs time
		if x.total += len(next) + step; x.total > maxExpandedTotal {
			return "", errTooMuch
		}
		if len(next) > maxExpanded {
			return "", errTooLong
		}
		text = next
	}
	return "", errEndless
}

// step makes one substitution; done says that there was none to make.
func (x *expander) step(text string) (next string, done bool, err error) {
	if i := strings.Index(text, "${"); i >= 0 {
		name, rest, ok := strings.Cut(text[i+2:], "}")
		if !ok {
			return "", false, fmt.Errorf("${ %w", errFormat)
		}
		sym := x.symbols[name]
		if sym == nil {
			return "", false, &undefinedError{name: name}
		}
		sym.used = true
		return text[:i] + sym.value + rest, false, nil
	}
	if i := strings.Index(text, "$["); i >= 0 {
		name, rest, ok := strings.Cut(text[i+2:], "]")
		if !ok {
			return "", false, fmt.Errorf("$[ %w", errFormat)
		}
		value, ok := x.lookupEnv(name)
		if !ok {
			return "", false, &undefinedError{name: name, env: true}
		}
		return text[:i] + value + rest, false, nil
	}
	return text, true, nil
}
