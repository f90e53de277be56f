package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/kink/kerberos"
	"racoon2/policy/spmif"
)

// KINKStatus is KINK's part of Status: who this host is to Kerberos, and its
// peers with their SAs. Clocks differ by seconds.
type KINKStatus struct {
	Epoch      time.Time       `json:"epoch"` // since when this host has SAs
	Replays    int             `json:"replay_cache"`
	Principals []KINKPrincipal `json:"principals"`
	Peers      []KINKPeer      `json:"peers"`
}

// KINKPrincipal is one principal of this host.
type KINKPrincipal struct {
	Principal   string       `json:"principal"`
	Keytab      string       `json:"keytab"`
	KeyVersions []uint32     `json:"key_versions"`
	EncTypes    []string     `json:"enctypes"` // configured, with a key
	TGT         *time.Time   `json:"tgt_expires,omitempty"`
	Skew        float64      `json:"kdc_skew"` // the KDC's clock less this host's
	Error       string       `json:"error,omitempty"`
	Tickets     []KINKTicket `json:"tickets"`
}

// KINKTicket is one service ticket in the cache.
type KINKTicket struct {
	Peer       string    `json:"peer"`
	EncType    string    `json:"enctype"`
	Expires    time.Time `json:"expires"`
	UserToUser bool      `json:"user_to_user,omitempty"`
	Refused    bool      `json:"refused,omitempty"` // by the peer
}

// KINKPeer is one principal with which this host has or had SAs.
type KINKPeer struct {
	Principal    string      `json:"principal"`
	Local        string      `json:"local"` // this host's principal
	Remote       string      `json:"remote"`
	Address      string      `json:"address"`
	Epoch        *time.Time  `json:"epoch,omitempty"` // since when it has SAs
	Skew         float64     `json:"skew"`            // its clock less this host's
	EncType      string      `json:"enctype,omitempty"`
	Ticket       *time.Time  `json:"ticket_expires,omitempty"`
	LastHeard    *time.Time  `json:"last_heard,omitempty"`
	Transactions int         `json:"transactions"`
	Children     []KINKChild `json:"children"`
}

// KINKChild is one pair of SAs.
type KINKChild struct {
	ChildStatus
	State     string `json:"state"`
	Initiator bool   `json:"initiator"` // this host made the pair, and rekeys it
	// Bundle are the transforms where there are several, the innermost first.
	Bundle []KINKTransform `json:"bundle,omitempty"`
}

// KINKTransform is one pair of SAs of a bundle.
type KINKTransform struct {
	Protocol string `json:"protocol"`
	Mode     string `json:"mode"`
	SPIIn    string `json:"spi_in"` // 8 hexadecimal digits, of IPComp's CPIs 4
	SPIOut   string `json:"spi_out"`
	Encr     string `json:"encr,omitempty"`
	Integ    string `json:"integ,omitempty"`
	Comp     string `json:"ipcomp,omitempty"`
}

// usesKINK says that the configuration has it, or that pairs are left of it.
func (a *Agent) usesKINK() bool { return len(a.plan.Load().compiled.KINK.Remotes) > 0 }

// kinkPeers lists KINK's peers with their pairs.
func (a *Agent) kinkPeers(ctx context.Context) ([]kink.PeerInfo, error) {
	return ask(ctx, a.kink, a.engine.Status)
}

// kinkStatus is KINK's part of the status; nil while nothing uses it.
func (a *Agent) kinkStatus(peers []kink.PeerInfo, traffic map[kernel.SAID]*Traffic) *KINKStatus {
	if !a.usesKINK() && len(peers) == 0 {
		return nil
	}
	s := &KINKStatus{Epoch: a.kinkStart.UTC().Truncate(time.Second), Principals: []KINKPrincipal{}, Peers: []KINKPeer{}}
	for _, r := range a.tickets.all() {
		s.Replays += r.Replays()
		for _, info := range r.Status(a.o.Now()) {
			s.Principals = append(s.Principals, kinkPrincipal(info, r.settings.Keytab))
		}
	}
	for _, p := range peers {
		s.Peers = append(s.Peers, kinkPeer(p, traffic))
	}
	return s
}

func kinkPrincipal(i kerberos.AccountInfo, keytab string) KINKPrincipal {
	p := KINKPrincipal{
		Principal: i.Principal, Keytab: keytab, KeyVersions: append([]uint32{}, i.KeyVersions...), EncTypes: names(i.ETypes),
		TGT: timeOrNil(i.TGTEnd), Skew: i.Offset.Seconds(), Error: i.LoginError, Tickets: []KINKTicket{},
	}
	for _, t := range i.Tickets {
		p.Tickets = append(p.Tickets, KINKTicket{
			Peer: t.Peer, EncType: t.EType.String(), Expires: t.Expires, UserToUser: t.UserToUser, Refused: t.Refused,
		})
	}
	return p
}

func kinkPeer(i kink.PeerInfo, traffic map[kernel.SAID]*Traffic) KINKPeer {
	p := KINKPeer{
		Principal: i.Principal, Local: i.Local, Remote: i.Remote, Skew: i.Offset.Seconds(),
		Ticket: timeOrNil(i.Ticket), LastHeard: timeOrNil(i.LastHeard), Transactions: i.Transactions, Children: []KINKChild{},
	}
	if i.Address.IsValid() {
		p.Address = i.Address.String()
	}
	if i.Epoch != 0 {
		p.Epoch = timeOrNil(time.Unix(int64(i.Epoch), 0).UTC())
	}
	if i.EType != 0 {
		p.EncType = kerberos.EType(i.EType).String()
	}
	for _, c := range i.Children {
		p.Children = append(p.Children, kinkChild(c, traffic))
	}
	return p
}

func kinkChild(c kink.ChildInfo, traffic map[kernel.SAID]*Traffic) KINKChild {
	in, out := kinkSAIDs(c)
	k := KINKChild{
		State: c.State, Initiator: c.Initiator,
		ChildStatus: ChildStatus{
			Name: c.Name, Protocol: c.Protocol.String(), Mode: c.Mode.String(),
			SPIIn: fmt.Sprintf("%08x", uint32(c.SPIIn)), SPIOut: fmt.Sprintf("%08x", uint32(c.SPIOut)),
			Local: c.Local.String(), Remote: c.Remote.String(), ReqID: c.ReqID,
			TSLocal: []string{kinkTraffic(c.Selector)}, TSRemote: []string{kinkTraffic(c.Selector.Reverse())},
			Encr: c.Encr, Integ: c.Integ, KE: c.KE,
			Established: timeOrNil(c.Established), Expires: timeOrNil(c.Expires),
			In: traffic[in], Out: traffic[out],
		},
	}
	for _, t := range c.Transforms {
		digits := 8
		if t.Protocol == kernel.IPComp {
			digits = 4
		}
		one := KINKTransform{
			Protocol: t.Protocol.String(), Mode: t.Mode.String(), Encr: t.Encr, Integ: t.Integ, Comp: t.Comp,
			SPIIn: fmt.Sprintf("%0*x", digits, uint32(t.SPIIn)), SPIOut: fmt.Sprintf("%0*x", digits, uint32(t.SPIOut)),
		}
		if t.Protocol == kernel.IPComp {
			k.Comp, k.CPIIn, k.CPIOut = t.Comp, one.SPIIn, one.SPIOut
		}
		if len(c.Transforms) > 1 {
			k.Bundle = append(k.Bundle, one)
		}
	}
	return k
}

// kinkTraffic prints the source of a selector, as the selectors of IKE's
// children are printed.
func kinkTraffic(s kernel.Selector) string {
	text := s.Src.String()
	switch p := s.SrcPort; {
	case p.Any():
		text += "[any]"
	case p.First == p.Last:
		text += fmt.Sprintf("[%d]", p.First)
	default:
		text += fmt.Sprintf("[%d-%d]", p.First, p.Last)
	}
	if s.Proto != 0 {
		text += fmt.Sprintf(" protocol %d", s.Proto)
	}
	return text
}

// kinkSAIDs names the two SAs of a pair.
func kinkSAIDs(c kink.ChildInfo) (in, out kernel.SAID) {
	return kernel.SAID{Dst: c.Local, Proto: c.Protocol, SPI: c.SPIIn},
		kernel.SAID{Dst: c.Remote, Proto: c.Protocol, SPI: c.SPIOut}
}

// ---- commands ----

// kinkSAs are KINK's lines of SA LIST: there is nothing above the pairs.
func kinkSAs(peers []kink.PeerInfo) []spmif.SAEntry {
	var out []spmif.SAEntry
	for _, p := range peers {
		for _, c := range p.Children {
			out = append(out, spmif.SAEntry{
				Child: true, Name: c.Name, State: c.Mode.String(), Local: addrPort(c.Local), Remote: addrPort(c.Remote),
				SPIs: [2]uint64{uint64(c.SPIIn), uint64(c.SPIOut)},
			})
		}
	}
	return out
}

// showKINK are the peers with this remote, child, principal or SPI.
func showKINK(s *KINKStatus, name string) []KINKPeer {
	if s == nil {
		return nil
	}
	var found []KINKPeer
	for _, p := range s.Peers {
		hit := name == p.Remote || name == p.Principal
		for _, c := range p.Children {
			hit = hit || name == c.Name || name == c.SPIIn || name == c.SPIOut ||
				slices.ContainsFunc(c.Bundle, func(t KINKTransform) bool { return name == t.SPIIn || name == t.SPIOut })
		}
		if hit && len(p.Children) > 0 {
			found = append(found, p)
		}
	}
	return found
}

// withPair finds the pair of KINK with an inbound SPI.
func (c commands) withPair(ctx context.Context, spi uint64, f func(kink.PeerInfo, kink.ChildInfo) error) (found bool, err error) {
	peers, err := c.a.kinkPeers(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range peers {
		for _, child := range p.Children {
			if slices.ContainsFunc(child.Transforms, func(t kink.TransformInfo) bool { return uint64(t.SPIIn) == spi }) {
				return true, f(p, child)
			}
		}
	}
	return false, nil
}

var errPeerRekeys = errors.New("the peer has made this pair, and takes new keys for it (RFC 4430 §3.6)")

// deletePair deletes a pair of KINK, telling the peer.
func (c commands) deletePair(p kink.PeerInfo, child kink.ChildInfo) error {
	return c.a.kink.post(c.a.ctx, kink.Terminate{Remote: p.Remote, Child: child.SPIIn, Reason: "deleted by command"})
}

// rekeyPair has a pair of KINK take new keys, as the end of its soft lifetime does.
func (c commands) rekeyPair(_ kink.PeerInfo, child kink.ChildInfo) error {
	if !child.Initiator {
		return errPeerRekeys
	}
	in, _ := kinkSAIDs(child)
	return c.a.kink.post(c.a.ctx, kink.KernelEvent{Event: kernel.Expire{ID: in}})
}

// shown is the answer to SA SHOW.
func shown(ike []IKEStatus, peers []KINKPeer) (json.RawMessage, error) {
	out := make([]any, 0, len(ike)+len(peers))
	for _, i := range ike {
		out = append(out, i)
	}
	for _, p := range peers {
		out = append(out, p)
	}
	return json.Marshal(out)
}

// takeDownPairs deletes the pairs of KINK of a child, telling the peers.
func (c commands) takeDownPairs(ctx context.Context, name string) (pairs int, err error) {
	peers, err := c.a.kinkPeers(ctx)
	if err != nil {
		return 0, err
	}
	for _, p := range peers {
		for _, child := range p.Children {
			if child.Name != name {
				continue
			}
			if err := c.a.kink.post(ctx, kink.Terminate{Remote: p.Remote, Child: child.SPIIn, Reason: "taken down by command"}); err != nil {
				return pairs, err
			}
			pairs++
		}
	}
	return pairs, nil
}
