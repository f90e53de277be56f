// Package trace is how a core says what it did: an event with the tag of the
// original's log, a reason from a closed set, and attributes. Cores emit
// events as effects; agent counts, logs and stores them. The package is a leaf
// that every core may import.
package trace

import "strconv"

// Tag is the class of a log line, spelled as the original racoon2 spells it.
type Tag uint8

// The tags of the original's plog, and the syslog priority each one takes.
const (
	Debug        Tag = iota // debug
	Info                    // info
	ProtoWarn               // warning: a peer did something odd
	ProtoErr                // err: a peer did something wrong
	InternalWarn            // warning: something odd on this host
	InternalErr             // err: something failed on this host
	Critical                // crit: the process cannot go on
)

var tagNames = [...]string{"DEBUG", "INFO", "PROTO_WARN", "PROTO_ERR", "INTERNAL_WARN", "INTERNAL_ERR", "CRITICAL"}

// String returns the tag without its brackets, "PROTO_ERR".
func (t Tag) String() string {
	if int(t) < len(tagNames) {
		return tagNames[t]
	}
	return "Tag(" + strconv.Itoa(int(t)) + ")"
}

// Attr is one named detail of an event, already fit for a log: never a secret.
type Attr struct {
	Key   string
	Value string
}

// Event is one thing that a core wants known.
type Event struct {
	Tag    Tag
	Reason string // counter to raise, from the core's closed set ("no_proposal_chosen"); "" counts nothing
	Text   string // one sentence for an operator
	Attrs  []Attr // what was offered, what was configured, the peer, the SPIs …
}
