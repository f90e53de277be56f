package kernel

import (
	"fmt"
	"strconv"
)

// String is the SPI as kernels and dumps write it, "0x0000100a".
func (s SPI) String() string { return fmt.Sprintf("0x%08x", uint32(s)) }

// String is "ah", "esp" or "ipcomp", as racoon2.conf has them.
func (p Protocol) String() string {
	switch p {
	case AH:
		return "ah"
	case ESP:
		return "esp"
	case IPComp:
		return "ipcomp"
	}
	return unknown("Protocol", uint8(p))
}

// String is "transport" or "tunnel".
func (m Mode) String() string {
	switch m {
	case Transport:
		return "transport"
	case Tunnel:
		return "tunnel"
	}
	return unknown("Mode", uint8(m))
}

// String is "in", "out" or "fwd".
func (d Direction) String() string {
	switch d {
	case In:
		return "in"
	case Out:
		return "out"
	case Forward:
		return "fwd"
	}
	return unknown("Direction", uint8(d))
}

// String is the action in RFC 4301's words: "protect", "discard" or "bypass".
func (a Action) String() string {
	switch a {
	case Protect:
		return "protect"
	case Discard:
		return "discard"
	case Bypass:
		return "bypass"
	}
	return unknown("Action", uint8(a))
}

// String is "require", "use" or "unique".
func (l Level) String() string {
	switch l {
	case Require:
		return "require"
	case Use:
		return "use"
	case Unique:
		return "unique"
	}
	return unknown("Level", uint8(l))
}

// String names the core.
func (e EngineID) String() string {
	switch e {
	case NoEngine:
		return "none"
	case PolicyManager:
		return "policy"
	case IKEv2:
		return "ikev2"
	case KINK:
		return "kink"
	}
	return unknown("EngineID", uint8(e))
}

// String is "0x1/0xffffffff", value and mask; "none" for the zero Mark.
func (m Mark) String() string {
	if m == (Mark{}) {
		return "none"
	}
	return fmt.Sprintf("%#x/%#x", m.Value, m.Mask)
}

// String is "no", "crypto" or "packet".
func (o Offload) String() string {
	switch o {
	case NoOffload:
		return "no"
	case OffloadCrypto:
		return "crypto"
	case OffloadPacket:
		return "packet"
	}
	return unknown("Offload", uint8(o))
}

// String is "esp 0x0000100a to 192.0.2.1".
func (id SAID) String() string {
	return id.Proto.String() + " " + id.SPI.String() + " to " + id.Dst.String()
}

// String describes the SA without its keys, so that no log can hold them.
func (sa SA) String() string {
	return fmt.Sprintf("%v %v from %v to %v, %v mode, reqid %d",
		sa.Proto, sa.SPI, sa.Src, sa.Dst, sa.Mode, sa.ReqID)
}

// GoString is String: %#v shows no keys either.
func (sa SA) GoString() string { return "kernel.SA{" + sa.String() + "}" }

// String is "spid 7 out 10.0.0.0/24[any] 10.0.1.0/24[any] any protect".
func (p Policy) String() string {
	return fmt.Sprintf("spid %d %v %v %v", p.ID, p.Direction, p.Selector, p.Action)
}

func unknown(kind string, n uint8) string { return kind + "(" + strconv.Itoa(int(n)) + ")" }
