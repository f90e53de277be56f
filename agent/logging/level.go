package logging

import (
	"fmt"
	"log/slog"
	"strings"

	"racoon2/kernel/trace"
)

// levels holds the slog level of each tag. slog's own four are among them, so
// that a plain slog.Warn is INTERNAL_WARN; what concerns a peer stands just below.
var levels = [...]slog.Level{
	trace.Debug:        slog.LevelDebug,
	trace.Info:         slog.LevelInfo,
	trace.ProtoWarn:    slog.LevelWarn - 1,
	trace.ProtoErr:     slog.LevelError - 1,
	trace.InternalWarn: slog.LevelWarn,
	trace.InternalErr:  slog.LevelError,
	trace.Critical:     LevelCritical,
}

// LevelCritical is the slog level of CRITICAL.
const LevelCritical = slog.LevelError + 4

func levelOf(t trace.Tag) slog.Level {
	if int(t) < len(levels) {
		return levels[t]
	}
	return slog.LevelInfo
}

// tagOf returns the highest tag that is not above the level.
func tagOf(l slog.Level) trace.Tag {
	switch {
	case l >= LevelCritical:
		return trace.Critical
	case l >= slog.LevelError:
		return trace.InternalErr
	case l >= slog.LevelError-1:
		return trace.ProtoErr
	case l >= slog.LevelWarn:
		return trace.InternalWarn
	case l >= slog.LevelWarn-1:
		return trace.ProtoWarn
	case l >= slog.LevelInfo:
		return trace.Info
	default:
		return trace.Debug
	}
}

// ParseLevel reads a level's name: debug, info, warning, error or critical.
func ParseLevel(name string) (trace.Tag, error) {
	switch strings.ToLower(name) {
	case "debug":
		return trace.Debug, nil
	case "info", "normal", "":
		return trace.Info, nil
	case "warn", "warning":
		return trace.ProtoWarn, nil
	case "err", "error":
		return trace.ProtoErr, nil
	case "crit", "critical":
		return trace.Critical, nil
	}
	return 0, fmt.Errorf("log level %q is none of debug, info, warning, error, critical", name)
}
