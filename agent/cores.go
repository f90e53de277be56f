package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kernel/trace"
	"racoon2/kink"
	"racoon2/policy"
	"racoon2/resolver"
)

// The areas of the log.
const (
	areaIKEv2  = "ikev2"
	areaPolicy = "policy"
	areaAgent  = "agent"
	areaKernel = "kernel" // counters alone
	areaKINK   = "kink"
)

type (
	ikeDriver    = driver[ikev2.Input, ikev2.Outbox]
	policyDriver = driver[policy.Input, policy.Outbox]
)

// performPolicy does the effects of the policy manager.
func (a *Agent) performPolicy(out *policy.Outbox) {
	for i, effect := range out.Effects {
		out.Effects[i] = nil
		switch e := effect.(type) {
		case policy.KernelRequest:
			a.backend.Submit(e.Request)
		case policy.Initiate:
			a.initiate(e)
		case policy.Route:
			local, err := a.route(e.Remote, a.plan.Load().compiled.IKEv2.IKEPort)
			a.policy.answer(policy.Routed{Remote: e.Remote, Local: local, Err: err})
		case policy.MoveSAs:
			for _, shard := range a.shards {
				a.policy.hand(shard.urgent, shard.input(ikev2.MoveChild(e)))
			}
		case policy.InUse:
			if a.names != nil {
				a.names.proxy.Input(resolver.InUse{Addr: e.Addr, Using: e.Using})
			}
		case policy.PolicyStands:
			if a.names != nil {
				a.names.proxy.Input(resolver.PolicyStands{Name: e.Name, Generation: e.Generation})
			}
		case policy.Trace:
			a.trace(areaPolicy, e.Event)
		}
	}
	out.Effects = out.Effects[:0]
}

// initiate passes the policy manager's wish to the engine that it names.
func (a *Agent) initiate(e policy.Initiate) {
	switch e.Engine {
	case kernel.IKEv2:
		shard := a.shards[a.home(e.Remote)]
		a.policy.hand(shard.urgent, shard.input(ikev2.Initiate{Remote: e.Remote, Child: e.Child, Packet: e.Packet}))
	case kernel.KINK:
		a.initiateKINK(e)
	default:
		a.policy.answer(policy.InitiateFailed{Engine: e.Engine, Child: e.Child, Reason: "this engine is not running"})
	}
}

// performIKE does the effects of one shard of the IKEv2 engine.
func (a *Agent) performIKE(n int) func(*ikev2.Outbox) {
	return func(out *ikev2.Outbox) {
		for i, effect := range out.Effects {
			out.Effects[i] = nil
			a.performIKEEffect(n, effect)
		}
		out.Effects = out.Effects[:0]
	}
}

func (a *Agent) performIKEEffect(n int, effect ikev2.Effect) {
	shard := a.shards[n]
	a.ikeHook(effect)
	switch e := effect.(type) {
	case ikev2.Send:
		a.send(e.Local, e.Remote, e.Data)
	case ikev2.KernelRequest:
		a.backend.Submit(e.Request)
	case ikev2.Job:
		shard.hand(a.pool.queue, a.job(shard, e))
	case ikev2.Route:
		local, err := a.route(e.Remote, a.plan.Load().compiled.IKEv2.IKEPort)
		shard.answer(ikev2.Routed{Serial: e.Serial, Local: local, Err: err})
	case ikev2.ChildUp:
		if !e.Again {
			a.homes.up(e.Remote, n)
		}
		up := ChildUp(e, time.Now())
		shard.hand(a.policy.urgent, a.policy.input(up))
	case ikev2.ChildDown:
		a.homes.down(e.Remote, n)
		down := policy.ChildDown{Engine: kernel.IKEv2, Child: e.Child, Reason: e.Reason}
		shard.hand(a.policy.urgent, a.policy.input(down))
	case ikev2.ChildMoved:
		moved := policy.Moved{Child: e.Child, OldLocal: e.OldLocal, OldRemote: e.OldPeer, Local: e.Local, Remote: e.PeerAddress}
		shard.hand(a.policy.urgent, a.policy.input(moved))
	case ikev2.InitiateFailed:
		failed := policy.InitiateFailed{Engine: kernel.IKEv2, Child: e.Child, Reason: e.Reason}
		shard.hand(a.policy.urgent, a.policy.input(failed))
	case ikev2.KeyLog:
		a.reveal(e)
	case ikev2.Trace:
		a.trace(areaIKEv2, e.Event)
	}
}

// send sends a datagram of an engine.
func (a *Agent) send(from, to netip.AddrPort, data []byte) {
	a.log.Packet("agent", "sent", from, to, data)
	if err := a.sockets.send(from, to, data); err != nil {
		a.trace("agent", trace.Event{
			Tag: trace.InternalWarn, Reason: reasonSend, Text: "a datagram could not be sent",
			Attrs: []trace.Attr{
				{Key: "local", Value: from.String()}, {Key: "remote", Value: to.String()},
				{Key: "error", Value: err.Error()},
			},
		})
	}
}

// job is what a worker does for a shard. The worker waits for room with the
// shard, which always reads on, so neither can hold up the other for ever.
func (a *Agent) job(shard *ikeDriver, j ikev2.Job) func() {
	return func() {
		value, err := runJob(j.Name, j.Run, a.jobPanicked)
		// The only errors are that the agent or the shard has ended.
		_ = shard.post(a.ctx, ikev2.JobDone{Serial: j.Serial, Value: value, Err: err})
	}
}

// home is the shard that initiates to a remote: where children of it stand, or
// else where its own requests would go.
func (a *Agent) home(name string) int {
	if shard, ok := a.homes.of(name); ok {
		return shard
	}
	if peers := a.peers(name); len(peers) > 0 {
		return ikev2.ShardOfAddress(peers[0].Addr(), len(a.shards))
	}
	return 0
}

// peers are the addresses of a remote now.
func (a *Agent) peers(name string) []netip.AddrPort {
	p := a.plan.Load()
	if r := p.cfg.Remote(name); r != nil && named(peersOf(r.IKEv2)) {
		return a.peerAddresses(r.IKEv2.PeersIPAddr)
	}
	for _, r := range p.compiled.IKEv2.Remotes {
		if r.Name == name {
			return r.Peers
		}
	}
	return nil
}

// route finds the address of this host that datagrams to remote leave from, by
// connecting a socket that sends nothing. Where no socket of the port is bound to
// that address, it is that of a socket of the family.
func (a *Agent) route(remote netip.Addr, port uint16) (netip.Addr, error) {
	d := net.Dialer{Control: func(network, _ string, c syscall.RawConn) error {
		if !a.bypass {
			return nil
		}
		return a.backend.Bypass(probe{c, network == "udp6"})
	}}
	conn, err := d.DialContext(a.ctx, "udp", netip.AddrPortFrom(remote, port).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	if a.sockets.find(netip.AddrPortFrom(local, port)) != nil {
		return local, nil
	}
	for _, e := range a.sockets.all() {
		if e.LocalPort() == port && e.IPv6() == local.Is6() {
			return e.addr.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no socket reaches %v: none is bound to %v", remote, netip.AddrPortFrom(local, port))
}

// probe is the socket of a route look-up, as a backend sees it.
type probe struct {
	syscall.RawConn
	v6 bool
}

func (probe) LocalPort() uint16 { return 0 }
func (p probe) IPv6() bool      { return p.v6 }
func (probe) WriteFrom([]byte, netip.Addr, netip.AddrPort) error {
	return net.ErrClosed // a look-up sends nothing
}

// kernelResult passes a result of the kernel to the core that asked.
func (a *Agent) kernelResult(r kernel.Result) {
	switch r.Request.Owner.Engine {
	case kernel.PolicyManager:
		_ = a.policy.post(a.ctx, policy.KernelResult{Result: r})
	case kernel.IKEv2:
		if n := int(r.Request.Owner.Shard); n < len(a.shards) {
			_ = a.shards[n].post(a.ctx, ikev2.KernelResult{Result: r})
		}
	case kernel.KINK:
		_ = a.kink.post(a.ctx, kink.KernelResult{Result: r})
	}
}

// policyEvent passes a kernel event to the policy manager.
func (a *Agent) policyEvent(ev kernel.Event) {
	_ = a.policy.post(a.ctx, policy.KernelEvent{Event: ev})
}

// ownedEvent passes a kernel event to the engine that owns the SA.
func (a *Agent) ownedEvent(o kernel.Owner, ev kernel.Event) {
	switch n := int(o.Shard); {
	case o.Engine == kernel.PolicyManager: // of static_ipsec
		a.policyEvent(ev)
	case o.Engine == kernel.IKEv2 && n < len(a.shards):
		_ = a.shards[n].post(a.ctx, ikev2.KernelEvent{Event: ev})
	case o.Engine == kernel.KINK:
		_ = a.kink.post(a.ctx, kink.KernelEvent{Event: ev})
	}
}

// everyEngine passes a kernel event to all that own SAs.
func (a *Agent) everyEngine(ev kernel.Event) {
	a.policyEvent(ev) // there are static SAs
	_ = a.kink.post(a.ctx, kink.KernelEvent{Event: ev})
	for _, s := range a.shards {
		_ = s.post(a.ctx, ikev2.KernelEvent{Event: ev})
	}
}

func (a *Agent) strayEvent(what string, ev kernel.Event) {
	a.counters.add(reasonStray)
	a.log.Logger("agent").Debug("kernel event about "+what, "event", ev)
}

// reconcile finds the SAs that have gone while events were lost, and tells their
// owners. It runs beside the pump, which has to bring the dump.
func (a *Agent) reconcile() {
	before := a.pump.snapshot()
	go func() {
		ctx, cancel := context.WithTimeout(a.ctx, resyncTime)
		defer cancel()
		dump, err := a.pump.ask(ctx, kernel.DumpSA{})
		if err != nil {
			a.main.Warn("kernel events were lost, and the SAs cannot be listed", "error", err)
			return
		}
		for id := range missing(before, dump.SAs) {
			a.pump.gone(id)
		}
	}()
}

// resyncTime bounds the wait for a dump of all SAs.
const resyncTime = 30 * time.Second

// homes remembers on which shard the children of a remote stand, so that a
// further child meets the IKE SA that is there.
type homes struct {
	mu       sync.Mutex
	children map[string][]int // by remote: children on each shard
}

// of returns the shard with most of a remote's children.
func (h *homes) of(remote string) (shard int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	most := 0
	for n, count := range h.children[remote] {
		if count > most {
			shard, most = n, count
		}
	}
	return shard, most > 0
}

func (h *homes) up(remote string, shard int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.children == nil {
		h.children = make(map[string][]int)
	}
	counts := h.children[remote]
	for len(counts) <= shard {
		counts = append(counts, 0)
	}
	counts[shard]++
	h.children[remote] = counts
}

func (h *homes) down(remote string, shard int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := h.children[remote]
	if shard >= len(counts) || counts[shard] == 0 {
		return
	}
	counts[shard]--
	for _, n := range counts {
		if n > 0 {
			return
		}
	}
	delete(h.children, remote)
}
