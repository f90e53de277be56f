package route

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Ports is an inclusive range of ports; the zero value is any.
type Ports struct {
	First, Last uint16
}

// Rule is a policy-routing rule: packets that match all of its fields take its
// Action. A zero field matches everything. To or From must be valid, for the
// family. Linux's "not" is left out on purpose: it negates a rule as a whole,
// which is never what "not this mark, but that destination" means.
type Rule struct {
	Priority           uint32
	From, To           netip.Prefix
	Mark               uint32
	In                 string // the interface of arrival; "lo" is this host's own traffic
	Proto              uint8
	SrcPorts, DstPorts Ports
	Action             Action
	Table              uint32 // of Lookup
	Target             uint32 // of Goto: the priority to go on at
}

// Action is what a rule does (linux/fib_rules.h, FR_ACT_*).
type Action uint8

// The actions; the zero Action is Lookup.
const (
	Lookup Action = iota // look in Table; go on with the next rule when that finds nothing
	Goto                 // go on with the rule of priority Target
	Nop                  // go on: a target for Goto
)

const ruleHeaderLen = 12 // struct fib_rule_hdr

// AddRule adds a rule; the same rule twice is unix.EEXIST.
func (c *Conn) AddRule(r Rule) error {
	return c.do("add rule "+r.String(), unix.RTM_NEWRULE, netlink.FlagCreate|netlink.FlagExcl, r.request())
}

// DeleteRule removes a rule; unix.ENOENT says that there is none.
func (c *Conn) DeleteRule(r Rule) error {
	return c.do("delete rule "+r.String(), unix.RTM_DELRULE, 0, r.request())
}

// String is the rule in the words of the ip command.
func (r Rule) String() string {
	s := fmt.Sprintf("pref %d", r.Priority)
	if r.From.IsValid() {
		s += " from " + r.From.String()
	}
	if r.To.IsValid() {
		s += " to " + r.To.String()
	}
	if r.Mark != 0 {
		s += fmt.Sprintf(" fwmark %#x", r.Mark)
	}
	if r.In != "" {
		s += " iif " + r.In
	}
	if r.Proto != 0 {
		s += fmt.Sprintf(" ipproto %d", r.Proto)
	}
	if r.SrcPorts != (Ports{}) {
		s += fmt.Sprintf(" sport %d-%d", r.SrcPorts.First, r.SrcPorts.Last)
	}
	if r.DstPorts != (Ports{}) {
		s += fmt.Sprintf(" dport %d-%d", r.DstPorts.First, r.DstPorts.Last)
	}
	switch r.Action {
	case Goto:
		return s + fmt.Sprintf(" goto %d", r.Target)
	case Nop:
		return s + " nop"
	default:
		return s + fmt.Sprintf(" lookup %d", r.Table)
	}
}

var actionNumbers = [...]uint8{Lookup: unix.FR_ACT_TO_TBL, Goto: unix.FR_ACT_GOTO, Nop: unix.FR_ACT_NOP}

func (r Rule) request() *netlink.Builder {
	h := make([]byte, ruleHeaderLen)
	h[7] = actionNumbers[r.Action]
	for _, p := range []netip.Prefix{r.From, r.To} {
		if p.IsValid() {
			h[0] = family(p.Addr())
		}
	}
	if r.To.IsValid() {
		h[1] = uint8(r.To.Bits())
	}
	if r.From.IsValid() {
		h[2] = uint8(r.From.Bits())
	}
	var b netlink.Builder
	b.Raw(h)
	b.U32(unix.FRA_PRIORITY, r.Priority)
	switch r.Action {
	case Lookup:
		b.U32(unix.FRA_TABLE, r.Table)
	case Goto:
		b.U32(unix.FRA_GOTO, r.Target)
	}
	if r.To.IsValid() && r.To.Bits() > 0 {
		b.Octets(unix.FRA_DST, r.To.Masked().Addr().AsSlice())
	}
	if r.From.IsValid() && r.From.Bits() > 0 {
		b.Octets(unix.FRA_SRC, r.From.Masked().Addr().AsSlice())
	}
	if r.Mark != 0 {
		b.U32(unix.FRA_FWMARK, r.Mark)
		b.U32(unix.FRA_FWMASK, 0xffffffff)
	}
	if r.In != "" {
		b.String(unix.FRA_IIFNAME, r.In)
	}
	if r.Proto != 0 {
		b.U8(unix.FRA_IP_PROTO, r.Proto)
	}
	if r.SrcPorts != (Ports{}) {
		b.Octets(unix.FRA_SPORT_RANGE, r.SrcPorts.octets())
	}
	if r.DstPorts != (Ports{}) {
		b.Octets(unix.FRA_DPORT_RANGE, r.DstPorts.octets())
	}
	return &b
}

// octets is struct fib_rule_port_range.
func (p Ports) octets() []byte {
	b := binary.NativeEndian.AppendUint16(nil, p.First)
	return binary.NativeEndian.AppendUint16(b, p.Last)
}

// Rules returns the rules with one of the three actions, of both families.
// Rules that use what Rule has no field for come out without it; the caller
// recognizes its own by Priority and Table.
func (c *Conn) Rules() ([]Rule, error) {
	var rules []Rule
	for _, f := range []uint8{unix.AF_INET, unix.AF_INET6} {
		h := make([]byte, ruleHeaderLen)
		h[0] = f
		replies, err := c.dump("rules", unix.RTM_GETRULE, h)
		if err != nil {
			return nil, err
		}
		for _, m := range replies {
			if r, ok := parseRule(m); ok {
				rules = append(rules, r)
			}
		}
	}
	return rules, nil
}

func parseRule(m netlink.Message) (Rule, bool) {
	if m.Type != unix.RTM_NEWRULE || len(m.Body) < ruleHeaderLen {
		return Rule{}, false
	}
	f, dstBits, srcBits := m.Body[0], m.Body[1], m.Body[2]
	action := slices.Index(actionNumbers[:], m.Body[7])
	if f != unix.AF_INET && f != unix.AF_INET6 || action < 0 {
		return Rule{}, false
	}
	r := Rule{To: unspecified(f), Action: Action(action), Table: uint32(m.Body[4])}
	a := netlink.ParseAttributes(m.Body[ruleHeaderLen:])
	for a.Next() {
		switch a.Type() {
		case unix.FRA_DST:
			r.To = prefix(address(a.Octets()), dstBits)
		case unix.FRA_SRC:
			r.From = prefix(address(a.Octets()), srcBits)
		case unix.FRA_PRIORITY:
			r.Priority = a.U32()
		case unix.FRA_TABLE:
			r.Table = a.U32()
		case unix.FRA_GOTO:
			r.Target = a.U32()
		case unix.FRA_FWMARK:
			r.Mark = a.U32()
		case unix.FRA_IIFNAME:
			r.In = a.String()
		case unix.FRA_IP_PROTO:
			r.Proto = a.U8()
		case unix.FRA_SPORT_RANGE:
			r.SrcPorts = parsePorts(a.Octets())
		case unix.FRA_DPORT_RANGE:
			r.DstPorts = parsePorts(a.Octets())
		}
	}
	if r.Action != Lookup {
		r.Table = 0
	}
	return r, a.Err() == nil
}

func parsePorts(b []byte) Ports {
	if len(b) != 4 {
		return Ports{}
	}
	return Ports{binary.NativeEndian.Uint16(b), binary.NativeEndian.Uint16(b[2:])}
}
