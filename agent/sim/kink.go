package sim

import (
	"fmt"
	"time"

	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/policy"
)

// kdcTime is how long a KDC takes to answer; kdcPatience how long a host waits
// for one that does not.
const (
	kdcTime     = 5 * time.Millisecond
	kdcPatience = 5 * time.Second
)

// kinkSide is a host's KINK engine in one life, with its Kerberos.
type kinkSide struct {
	engine *kink.Engine
	krb    *hostKerberos
}

// clock is the time as the host has it; IKEv2 does not care, Kerberos does.
func (h *Host) clock() time.Time { return h.w.Now().Add(h.spec.Skew) }

// startKINK begins the life of the KINK engine, where the configuration has one.
func (h *Host) startKINK() {
	h.kink = nil
	settings := h.compiled.KINK
	if settings == nil || len(settings.Remotes) == 0 {
		return
	}
	h.kink = &kinkSide{krb: newHostKerberos(h, settings.Remotes[0].MyPrincipal)}
	h.kink.engine = kink.New(kink.Config{Rand: h.rand, Kerberos: h.kink.krb, Settings: settings, Start: h.clock()})
}

// kinkPort is the port of a host's KINK engine, 0 without one.
func (h *Host) kinkPort() uint16 {
	if h.kink == nil {
		return 0
	}
	return h.compiled.KINK.Port
}

// kinkInput hands an input to the engine and performs the effects.
func (h *Host) kinkInput(in kink.Input) {
	if !h.alive || h.kink == nil || !h.tapKINK(in) {
		return
	}
	e := h.kink.engine
	var out kink.Outbox
	if h.guard(fmt.Sprintf("kink given %T", in), func() { e.Handle(h.clock(), in, &out) }) {
		for _, f := range out.Effects {
			h.performKINK(f)
		}
		deadline := func() (time.Time, bool) {
			t, ok := e.Deadline()
			return t.Add(-h.spec.Skew), ok
		}
		h.wake(e, deadline, func() { h.kinkInput(kink.Timeout{}) })
	}
}

func (h *Host) performKINK(effect kink.Effect) {
	switch e := effect.(type) {
	case kink.Send:
		for _, one := range h.tapSendKINK(e) {
			h.w.net.sendUDP(h, one.Local, one.Remote, one.Data, h.w.kinkWire)
		}
	case kink.KernelRequest:
		h.submit(e.Request)
	case kink.Job:
		value, err := e.Run()
		h.later(jobTime, func() { h.kinkInput(kink.JobDone{Serial: e.Serial, Value: value, Err: err}) })
	case kink.FetchTicket:
		h.fetch(e)
	case kink.Route:
		local, err := h.route(e.Remote)
		h.later(0, func() { h.kinkInput(kink.Routed{Serial: e.Serial, Local: local, Err: err}) })
	case kink.ChildUp:
		h.w.note(line{host: h.Name, text: "child " + e.Child + " is up"})
		h.later(0, func() {
			h.policyInput(policy.ChildUp{Engine: kernel.KINK, Child: e.Child, Local: e.Info.Local, Remote: e.Info.Remote})
		})
	case kink.ChildDown:
		h.w.note(line{host: h.Name, text: "child " + e.Child + " is down: " + e.Reason})
		h.later(0, func() { h.policyInput(policy.ChildDown{Engine: kernel.KINK, Child: e.Child, Reason: e.Reason}) })
	case kink.InitiateFailed:
		h.failed(kernel.KINK, e.Child, e.Reason)
	case kink.Trace:
		h.trace(e.Event)
	}
}

// fetch is the job that asks the KDC; a KDC that is down takes a while to be found so.
func (h *Host) fetch(f kink.FetchTicket) {
	took := kdcTime
	if h.w.kdc.down {
		took = kdcPatience
	}
	h.later(took, func() {
		t, err := h.kink.krb.fetch(f)
		if err != nil {
			t = nil
		}
		h.kinkInput(kink.TicketReady{Serial: f.Serial, Ticket: t, Err: err})
	})
}

// initiate hands the policy manager's wish to the engine that it names.
func (h *Host) initiate(e policy.Initiate) {
	if e.Engine == kernel.KINK {
		in := kink.Initiate{Remote: e.Remote, Child: e.Child, Packet: e.Packet}
		h.later(0, func() { h.kinkInput(in) })
		return
	}
	h.initiateIKE(e)
}

// kinkPairs are the host's SA pairs with a principal.
func (h *Host) kinkPairs(state, principal string) []kink.ChildInfo {
	var list []kink.ChildInfo
	if h.kink == nil {
		return nil
	}
	for _, p := range h.kink.engine.Status() {
		for _, c := range p.Children {
			if c.State == state && (principal == "" || p.Principal == principal) {
				list = append(list, c)
			}
		}
	}
	return list
}

// SetKDC stops the KDC, or starts it again.
func (w *World) SetKDC(down bool) {
	w.note(line{host: "(KDC)", text: map[bool]string{true: "stops", false: "starts again"}[down]})
	w.kdc.down = down
}

// RotateKeytab gives a host another service key, at the KDC and in its keytab.
func (h *Host) RotateKeytab() {
	if h.kink == nil {
		return
	}
	k := h.kink.krb
	h.w.note(line{host: h.Name, text: "has another service key"})
	h.w.kdc.kvno[k.principal]++
	k.kvno = h.w.kdc.kvno[k.principal]
}

// Relogin gives a host another TGT; user-to-user tickets under the old one are of no use.
func (h *Host) Relogin() {
	if h.kink != nil {
		h.w.note(line{host: h.Name, text: "has another TGT"})
		h.kink.krb.tgt = h.w.kdc.login(h.kink.krb.principal)
	}
}

// agreeKINK compares what two hosts believe about the SA pairs between them.
func (w *World) agreeKINK(a, b *Host) {
	for _, way := range [][2]*Host{{a, b}, {b, a}} {
		here, there := way[0], way[1]
		if here.kink == nil || there.kink == nil {
			continue
		}
		others := there.kinkPairs("up", here.kink.krb.principal)
		for _, c := range here.kinkPairs("up", there.kink.krb.principal) {
			var twin *kink.ChildInfo
			for i, d := range others {
				if d.SPIIn == c.SPIOut && d.SPIOut == c.SPIIn {
					twin = &others[i]
				}
			}
			if twin == nil {
				w.violate(here.Name, ChildrenAgree, "pair %s with SPIs %v in and %v out is unknown to %s", c.Name, c.SPIIn, c.SPIOut, there.Name)
				continue
			}
			w.agreePair(here, there, c, *twin)
		}
	}
}

func (w *World) agreePair(a, b *Host, c, d kink.ChildInfo) {
	if c.Initiator == d.Initiator || c.Mode != d.Mode || c.Selector != d.Selector.Reverse() || len(c.Transforms) != len(d.Transforms) {
		w.violate("", ChildrenAgree, "pair %s: %+v and %+v", c.Name, c, d)
		return
	}
	for i, t := range c.Transforms {
		u := d.Transforms[i]
		if t.Protocol != u.Protocol || t.Mode != u.Mode || t.Encr != u.Encr || t.Integ != u.Integ || t.Comp != u.Comp || t.SPIIn != u.SPIOut || t.SPIOut != u.SPIIn {
			w.violate("", ChildrenAgree, "pair %s: %+v and %+v", c.Name, t, u)
		}
		w.agreeKernels(a, b, t.SPIOut)
	}
}

// checkKINK takes the SAs of the KINK engine off the list of what the kernel holds.
func (h *Host) checkKINK(held map[kernel.SPI]kernel.Direction) {
	for _, c := range h.kinkPairs("making", "") {
		h.w.violate(h.Name, KernelAgrees, "pair %s is being made at rest", c.Name)
	}
	for _, state := range []string{"up", "deleting"} {
		for _, c := range h.kinkPairs(state, "") {
			for _, t := range c.Transforms {
				h.checkHeld(held, c.Name, t.SPIIn, kernel.In)
				if state == "up" { // the inbound SA of a pair that was replaced has its grace time
					h.checkHeld(held, c.Name, t.SPIOut, kernel.Out)
				}
			}
		}
	}
}

// checkGoneKINK looks for what an orderly end of the engine left behind.
func (h *Host) checkGoneKINK() {
	if h.kink == nil {
		return
	}
	e := h.kink.engine
	left := func() bool { _, ok := e.Deadline(); return ok }
	if h.w.runWhile(quietLimit, left); left() {
		h.w.violate(h.Name, Idle, "the KINK engine still has a timer")
	}
	if c := e.Counters(); c["transactions"] != 0 || len(h.kinkPairs("up", "")) != 0 {
		h.w.violate(h.Name, Idle, "the KINK engine still has %d transactions", c["transactions"])
	}
}

// principalOf is the Kerberos name of a host in a scenario.
func principalOf(name string) string { return "kink/" + name + ".example.org@EXAMPLE.ORG" }
