package agent

import (
	"runtime"
	"runtime/debug"
)

// stamped is the version that the build sets (-ldflags -X); empty without.
var stamped string

// Version is the program's version: what the build set, or else what Go
// recorded of the source's revision.
var Version = version()

func version() string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// Banner is the line that the agent starts its log with, as the original does.
func Banner() string {
	return "racoon2 " + Version + " - IPsec key exchange (IKEv2), " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
