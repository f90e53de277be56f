package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/policy"
)

// Status is the whole state of the agent. It is what STATUS carries as JSON;
// times are RFC 3339, durations seconds, counts of octets and packets plain
// numbers. It holds no key.
type Status struct {
	Version  string            `json:"version"`
	Started  time.Time         `json:"started"`
	Uptime   int64             `json:"uptime"` // seconds
	Config   string            `json:"config"`
	Log      string            `json:"log_level"`
	Kernel   KernelStatus      `json:"kernel"`
	Sockets  []SocketStatus    `json:"sockets"`
	IKESAs   []IKEStatus       `json:"ike_sas"`
	KINK     *KINKStatus       `json:"kink,omitempty"` // absent where nothing uses it
	Policies []PolicyStatus    `json:"policies"`
	Static   []StaticSAStatus  `json:"static_sas,omitempty"` // whose keys are in the configuration
	Attempts []AttemptStatus   `json:"attempts,omitempty"`   // at children that do not stand
	Names    []NameStatus      `json:"names,omitempty"`      // that are followed
	Counters map[string]uint64 `json:"counters"`             // by area and reason
	Warnings []string          `json:"warnings"`             // about configuration and host
}

// KernelStatus describes the kernel backend.
type KernelStatus struct {
	Name          string   `json:"name"`
	Why           string   `json:"why"` // it was chosen
	Encr          []string `json:"encr"`
	Integ         []string `json:"integ"`
	ESN           bool     `json:"esn"`
	MaxReplay     uint32   `json:"max_replay"` // packets
	Encap         bool     `json:"udp_encap"`
	ByteLifetimes bool     `json:"byte_lifetimes"`
}

// SocketStatus describes one UDP socket.
type SocketStatus struct {
	Address netip.AddrPort `json:"address"`
	NAT     bool           `json:"nat_traversal"`
	KINK    bool           `json:"kink,omitempty"` // KINK's, not IKE's
}

// IKEStatus describes one IKE SA.
type IKEStatus struct {
	Remote      string        `json:"remote"`
	State       string        `json:"state"`
	Initiator   bool          `json:"initiator"`
	SPIi        string        `json:"spi_i"` // 16 hexadecimal digits
	SPIr        string        `json:"spi_r"`
	Local       string        `json:"local"`
	Peer        string        `json:"peer"`
	LocalID     string        `json:"local_id"`
	RemoteID    string        `json:"remote_id"`
	Encr        string        `json:"encr"`
	PRF         string        `json:"prf"`
	Integ       string        `json:"integ,omitempty"`
	KE          string        `json:"ke"`
	NATLocal    bool          `json:"nat_local"`
	NATRemote   bool          `json:"nat_remote"`
	Extensions  []string      `json:"extensions,omitempty"` // agreed on beyond RFC 7296
	Established *time.Time    `json:"established,omitempty"`
	Expires     *time.Time    `json:"expires,omitempty"`
	LastHeard   *time.Time    `json:"last_heard,omitempty"`
	Reauth      *time.Time    `json:"reauth,omitempty"` // when this end repeats the authentication
	Children    []ChildStatus `json:"children"`
}

// ChildStatus describes one pair of child SAs.
type ChildStatus struct {
	Name        string     `json:"name"` // outbound selector
	Protocol    string     `json:"protocol"`
	Mode        string     `json:"mode"`
	SPIIn       string     `json:"spi_in"` // 8 hexadecimal digits
	SPIOut      string     `json:"spi_out"`
	Local       string     `json:"local"` // outer addresses
	Remote      string     `json:"remote"`
	ReqID       uint32     `json:"reqid"`
	TSLocal     []string   `json:"ts_local"`
	TSRemote    []string   `json:"ts_remote"`
	Encr        string     `json:"encr"` // empty with AH
	Integ       string     `json:"integ,omitempty"`
	KE          string     `json:"ke,omitempty"`
	ESN         bool       `json:"esn"`
	Comp        string     `json:"ipcomp,omitempty"`
	CPIIn       string     `json:"cpi_in,omitempty"` // 4 hexadecimal digits
	CPIOut      string     `json:"cpi_out,omitempty"`
	Encap       bool       `json:"udp_encap"`
	Established *time.Time `json:"established,omitempty"`
	Expires     *time.Time `json:"expires,omitempty"`
	In          *Traffic   `json:"in,omitempty"` // absent when the kernel did not say
	Out         *Traffic   `json:"out,omitempty"`
}

// Traffic is what an SA has carried.
type Traffic struct {
	Packets   uint64     `json:"packets"`
	Bytes     uint64     `json:"bytes"`
	ReplayErr uint64     `json:"replay_errors,omitempty"`
	AuthErr   uint64     `json:"integrity_errors,omitempty"`
	LastUsed  *time.Time `json:"last_used,omitempty"`
}

// PolicyStatus describes one SPD entry of ours.
type PolicyStatus struct {
	Selector  string `json:"selector"`
	ID        uint32 `json:"id"`
	Direction string `json:"direction"`
	Traffic   string `json:"traffic"`
	Action    string `json:"action"`
	Priority  uint32 `json:"priority"`
	State     string `json:"state"`
}

// statusTime bounds the making of a Status.
const statusTime = 5 * time.Second

// Status collects the whole state.
func (a *Agent) Status(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	s := &Status{
		Version: Version, Started: a.started, Uptime: int64(time.Since(a.started).Seconds()),
		Config: a.o.Config, Log: a.log.Level().String(), Kernel: a.kernelStatus(),
		Sockets: []SocketStatus{}, IKESAs: []IKEStatus{}, Policies: []PolicyStatus{},
	}
	for _, e := range a.sockets.all() {
		s.Sockets = append(s.Sockets, SocketStatus{e.addr, e.nat, e.kink})
	}
	infos, err := a.ikeSAs(ctx)
	if err != nil {
		return nil, err
	}
	peers, err := a.kinkPeers(ctx)
	if err != nil {
		return nil, err
	}
	traffic := a.traffic(ctx, saidsOf(infos, peers))
	for _, info := range infos {
		s.IKESAs = append(s.IKESAs, ikeStatus(info, traffic))
	}
	s.KINK = a.kinkStatus(peers, traffic)
	entries, err := ask(ctx, a.policy, a.manager.Entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		s.Policies = append(s.Policies, policyStatus(e))
	}
	if s.Static, err = a.staticStatus(ctx); err != nil {
		return nil, err
	}
	if s.Attempts, err = a.attemptStatus(ctx); err != nil {
		return nil, err
	}
	s.Names = a.nameStatus()
	if s.Counters, err = a.allCounters(ctx); err != nil {
		return nil, err
	}
	s.Warnings = a.allWarnings()
	return s, nil
}

func (a *Agent) kernelStatus() KernelStatus {
	c := a.backend.Capabilities()
	return KernelStatus{
		Name: a.backend.Name(), Why: a.why, Encr: names(c.Encr), Integ: names(c.Integ),
		ESN: c.ESN, MaxReplay: c.MaxReplay, Encap: c.Encap, ByteLifetimes: c.ByteLifetimes,
	}
}

// allWarnings are those of the configuration, of the kernel backend and of the host.
func (a *Agent) allWarnings() []string {
	out := []string{}
	if a.keyLog != nil {
		out = append(out, keyLogWarning+" ("+a.o.KeyLog+")")
	}
	if clear := a.backend.Capabilities().ClearInbound; clear != "" {
		out = append(out, "arriving clear packets that a policy protects are not dropped: "+clear)
	}
	if w, ok := a.backend.(interface{ Warnings() []string }); ok {
		out = append(out, w.Warnings()...)
	}
	for _, f := range a.plan.Load().findings {
		out = append(out, f.String())
	}
	return out
}

// ikeSAs lists the IKE SAs of all shards.
func (a *Agent) ikeSAs(ctx context.Context) ([]ikev2.IKEInfo, error) {
	var out []ikev2.IKEInfo
	for n, d := range a.shards {
		infos, err := ask(ctx, d, a.engines[n].Status)
		if err != nil {
			return nil, err
		}
		out = append(out, infos...)
	}
	return out, nil
}

// allCounters are the agent's own and the engines', summed over the shards.
func (a *Agent) allCounters(ctx context.Context) (map[string]uint64, error) {
	out := make(map[string]uint64)
	for reason, n := range a.counters.snapshot() {
		out["agent."+reason] = n
	}
	if a.names != nil {
		for reason, n := range a.names.proxy.Counters() {
			out[areaResolver+"."+reason] = n
		}
	}
	for reason, n := range a.kernelCounters() {
		out[areaKernel+"."+reason] = n
	}
	for n, d := range a.shards {
		counts, err := ask(ctx, d, a.engines[n].Counters)
		if err != nil {
			return nil, err
		}
		for reason, count := range counts {
			out[areaIKEv2+"."+reason] += count
		}
		out["agent.datagrams_dropped"] += d.dropped.Load()
	}
	out["agent.log_lines_lost"] = a.log.Lost()
	counts, err := ask(ctx, a.kink, a.engine.Counters)
	if err != nil {
		return nil, err
	}
	for reason, count := range counts {
		out[areaKINK+"."+reason] = count
	}
	out["agent.datagrams_dropped"] += a.kink.dropped.Load()
	return out, nil
}

// saidsOf names all SAs of children.
func saidsOf(infos []ikev2.IKEInfo, peers []kink.PeerInfo) []kernel.SAID {
	var ids []kernel.SAID
	for _, info := range infos {
		for _, c := range info.Children {
			in, out := saids(c)
			ids = append(ids, in, out)
		}
	}
	for _, p := range peers {
		for _, c := range p.Children {
			in, out := kinkSAIDs(c)
			ids = append(ids, in, out)
		}
	}
	return ids
}

func trafficOf(sa *kernel.SAState) *Traffic {
	return &Traffic{
		Packets: sa.Packets, Bytes: sa.Bytes, ReplayErr: sa.ReplayErr, AuthErr: sa.AuthErr,
		LastUsed: timeOrNil(sa.LastUsed),
	}
}

// manyChildren is from how many children on all SAs are dumped at once rather
// than asked for one by one.
const manyChildren = 16

// traffic asks the kernel what the children have carried. What the kernel does
// not say is left out.
func (a *Agent) traffic(ctx context.Context, ids []kernel.SAID) map[kernel.SAID]*Traffic {
	found := make(map[kernel.SAID]*Traffic, len(ids))
	note := func(sas []kernel.SAState) {
		for _, sa := range sas {
			found[sa.SAID] = trafficOf(&sa)
		}
	}
	if len(ids) > 2*manyChildren {
		if r, err := a.pump.ask(ctx, kernel.DumpSA{}); err == nil {
			note(r.SAs)
		}
		return found
	}
	for _, id := range ids {
		if r, err := a.pump.ask(ctx, kernel.GetSA{ID: id}); err == nil {
			note(r.SAs)
		}
	}
	return found
}

// saids names the two SAs of a child.
func saids(c ikev2.ChildInfo) (in, out kernel.SAID) {
	return kernel.SAID{Dst: c.Local, Proto: c.Protocol, SPI: c.SPIIn},
		kernel.SAID{Dst: c.Remote, Proto: c.Protocol, SPI: c.SPIOut}
}

func ikeStatus(i ikev2.IKEInfo, traffic map[kernel.SAID]*Traffic) IKEStatus {
	s := IKEStatus{
		Remote: i.Remote, State: i.State, Initiator: i.Initiator,
		SPIi: fmt.Sprintf("%016x", i.SPIi), SPIr: fmt.Sprintf("%016x", i.SPIr),
		Local: i.LocalAddr.String(), Peer: i.RemoteAddr.String(), LocalID: i.LocalID, RemoteID: i.RemoteID,
		Encr: i.Encr, PRF: i.PRF, Integ: i.Integ, KE: i.KE, NATLocal: i.NATLocal, NATRemote: i.NATRemote, Extensions: i.Extensions,
		Established: timeOrNil(i.Established), Expires: timeOrNil(i.Expires), LastHeard: timeOrNil(i.LastHeard), Reauth: timeOrNil(i.Reauth),
		Children: []ChildStatus{},
	}
	for _, c := range i.Children {
		in, out := saids(c)
		child := ChildStatus{
			Name: c.Name, Protocol: c.Protocol.String(), Mode: c.Mode.String(),
			SPIIn: fmt.Sprintf("%08x", uint32(c.SPIIn)), SPIOut: fmt.Sprintf("%08x", uint32(c.SPIOut)),
			Local: c.Local.String(), Remote: c.Remote.String(), ReqID: c.ReqID,
			TSLocal: selectors(c.TSLocal), TSRemote: selectors(c.TSRemote),
			Encr: c.Encr, Integ: c.Integ, KE: c.KE, ESN: c.ESN, Comp: c.Comp, Encap: c.Encap,
			Established: timeOrNil(c.Established), Expires: timeOrNil(c.Expires),
			In: traffic[in], Out: traffic[out],
		}
		if c.Comp != "" {
			child.CPIIn, child.CPIOut = fmt.Sprintf("%04x", uint32(c.CPIIn)), fmt.Sprintf("%04x", uint32(c.CPIOut))
		}
		s.Children = append(s.Children, child)
	}
	return s
}

func policyStatus(e policy.Entry) PolicyStatus {
	return PolicyStatus{
		Selector: e.Selector, ID: uint32(e.ID), Direction: e.Policy.Direction.String(),
		Traffic: e.Policy.Selector.String(), Action: e.Policy.Action.String(),
		Priority: e.Policy.Priority, State: e.State,
	}
}

// selectors prints traffic selectors, as prefixes where they are such.
func selectors(in []message.TrafficSelector) []string {
	out := make([]string, len(in))
	for i, ts := range in {
		out[i] = selector(ts)
	}
	return out
}

func selector(ts message.TrafficSelector) string {
	if ts.UnknownType != 0 {
		return fmt.Sprintf("type %d", ts.UnknownType)
	}
	text := ts.Start.String() + "-" + ts.End.String()
	if p := kernel.RangeToPrefixes(ts.Start, ts.End); len(p) == 1 {
		text = p[0].String()
	}
	switch {
	case ts.StartPort == 0 && ts.EndPort == 65535:
		text += "[any]"
	case ts.StartPort == ts.EndPort:
		text += fmt.Sprintf("[%d]", ts.StartPort)
	case ts.StartPort > ts.EndPort:
		text += "[opaque]"
	default:
		text += fmt.Sprintf("[%d-%d]", ts.StartPort, ts.EndPort)
	}
	if ts.Protocol != 0 {
		text += fmt.Sprintf(" protocol %d", ts.Protocol)
	}
	return text
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func names[T fmt.Stringer](in []T) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = v.String()
	}
	return out
}
