package agent

import "runtime"

// Version is the program's version; the build sets it.
var Version = "unknown"

// Banner is the line that the agent starts its log with, as the original does.
func Banner() string {
	return "racoon2 " + Version + " - IPsec key exchange (IKEv2), " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
