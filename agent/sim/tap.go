package sim

import (
	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kink"
)

// Tap stands between the parts of a host and may spoil what passes: that is
// how a test puts a bug into a host without any in production code. A nil
// function lets everything pass.
type Tap struct {
	// Input sees an input of an engine; false makes it disappear.
	Input func(h *Host, in ikev2.Input) bool
	// Request sees an operation for the kernel and returns those that are done
	// in its place, in order. The requester gets the result of the first one;
	// with none, an invented success.
	Request func(h *Host, r kernel.Request) []kernel.Request
	// Send sees a datagram of an engine and returns what goes out in its place.
	Send func(h *Host, s ikev2.Send) []ikev2.Send
	// KINKInput and KINKSend do so with the KINK engine.
	KINKInput func(h *Host, in kink.Input) bool
	KINKSend  func(h *Host, s kink.Send) []kink.Send
	// Output sees what the kernel puts on the wire for a packet, nil for
	// nothing, and returns what goes out in its place.
	Output func(h *Host, p fake.Packet, d *fake.Datagram) *fake.Datagram
	// Deliver sees what the kernel makes of a datagram from the wire, nil for
	// a drop, and returns what is delivered in its place.
	Deliver func(h *Host, d *fake.Datagram, p *fake.Packet) *fake.Packet
}

func (h *Host) tapInput(in ikev2.Input) bool {
	return h.spec.Tap == nil || h.spec.Tap.Input == nil || h.spec.Tap.Input(h, in)
}

func (h *Host) tapKINK(in kink.Input) bool {
	return h.spec.Tap == nil || h.spec.Tap.KINKInput == nil || h.spec.Tap.KINKInput(h, in)
}

func (h *Host) tapSendKINK(s kink.Send) []kink.Send {
	if h.spec.Tap == nil || h.spec.Tap.KINKSend == nil {
		return []kink.Send{s}
	}
	return h.spec.Tap.KINKSend(h, s)
}

func (h *Host) tapRequest(r kernel.Request) []kernel.Request {
	if h.spec.Tap == nil || h.spec.Tap.Request == nil {
		return []kernel.Request{r}
	}
	return h.spec.Tap.Request(h, r)
}

func (h *Host) tapSend(s ikev2.Send) []ikev2.Send {
	if h.spec.Tap == nil || h.spec.Tap.Send == nil {
		return []ikev2.Send{s}
	}
	return h.spec.Tap.Send(h, s)
}

func (h *Host) tapOutput(p fake.Packet, d *fake.Datagram) *fake.Datagram {
	if h.spec.Tap == nil || h.spec.Tap.Output == nil {
		return d
	}
	return h.spec.Tap.Output(h, p, d)
}

func (h *Host) tapDeliver(d *fake.Datagram, p *fake.Packet) *fake.Packet {
	if h.spec.Tap == nil || h.spec.Tap.Deliver == nil {
		return p
	}
	return h.spec.Tap.Deliver(h, d, p)
}
