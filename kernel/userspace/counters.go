package userspace

import "sync/atomic"

// count is something that the packet path counts.
type count uint8

// What is counted. The names are those of Backend.Counters.
const (
	outProtected count = iota
	outClear
	outNoSA
	outDiscard
	outMalformed
	outFragment
	outSequence
	outTooBig
	outFailed
	inProtected
	inNoSA
	inShort
	inReplay
	inIntegrity
	inPadding
	inCompressed
	inMalformed
	inMode
	inSelector
	inPolicy
	inFragment
	inECN
	inFailed
	inStray
	countEnd
)

var countNames = [countEnd]string{
	outProtected: "out_protected", // packets sent in ESP
	outClear:     "out_clear",     // packets that no policy protects, sent on in clear
	outNoSA:      "out_no_sa",     // dropped or held: no SA yet
	outDiscard:   "out_discard",   // dropped: a Discard policy
	outMalformed: "out_malformed", // dropped: not an IP packet that can be sent
	outFragment:  "out_fragment",  // fragments kept to be put together
	outSequence:  "out_sequence",  // dropped: the SA's sequence numbers are used up
	outTooBig:    "out_too_big",   // answered: does not fit the path
	outFailed:    "out_failed",    // the host refused to send
	inProtected:  "in_protected",  // packets delivered from ESP
	inNoSA:       "in_no_sa",      // dropped: no SA has this SPI
	inShort:      "in_short",      // dropped: too short to be ESP, AH or IPComp
	inReplay:     "in_replay",     // dropped: seen before, or too old
	inIntegrity:  "in_integrity",  // dropped: the ICV is wrong
	inPadding:    "in_padding",    // dropped: authentic, but the padding is wrong
	inCompressed: "in_compressed", // dropped: not what DEFLATE makes, or too much of it
	inMalformed:  "in_malformed",  // dropped: authentic, but no IP packet is inside
	inMode:       "in_mode",       // dropped: a tunnel's SA without a packet inside
	inSelector:   "in_selector",   // dropped: not traffic of the SA
	inPolicy:     "in_policy",     // dropped: no policy wants it from this SA
	inFragment:   "in_fragment",   // fragments kept to be put together, where their SA is for some ports
	inECN:        "in_ecn",        // dropped: congestion was marked, and the packet knows no ECN
	inFailed:     "in_failed",     // the host refused to take the packet
	inStray:      "in_stray",      // handed in as ESP, but it is IKE or a keepalive
}

type counters [countEnd]atomic.Uint64

func (c *counters) add(which count) { c[which].Add(1) }

// values is all counters by name.
func (c *counters) values() map[string]uint64 {
	m := make(map[string]uint64, countEnd)
	for i := range c {
		m[countNames[i]] = c[i].Load()
	}
	return m
}
