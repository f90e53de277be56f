package ikev2

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// Engine is one shard of the IKEv2 agent. It is used by one goroutine.
type Engine struct {
	cfg      Config
	settings *Settings
	now      time.Time // of the input being handled
	out      *Outbox   // of the input being handled
	counters map[string]uint64
}

// New makes an engine without any SA.
func New(cfg Config) *Engine {
	return &Engine{cfg: cfg, settings: cfg.Settings, counters: make(map[string]uint64)}
}

// Handle takes one input and appends all of its effects to out, in order.
// now never goes back between two calls.
func (e *Engine) Handle(now time.Time, in Input, out *Outbox) {
	e.now, e.out = now, out
	defer func() { e.out = nil }()
}

// Deadline is the time of the earliest timer; false when no timer runs.
func (e *Engine) Deadline() (time.Time, bool) { return time.Time{}, false }

// Idle says that no SA and no unanswered kernel request is left.
func (e *Engine) Idle() bool { return true }

// Status describes every IKE SA, in the order in which they were made.
func (e *Engine) Status() []IKEInfo { return nil }

// Counters are the events by trace reason since the start, and the gauges
// "half_open", "ike_sas" and "child_sas".
func (e *Engine) Counters() map[string]uint64 { return nil }

// ShardOf finds the shard that a datagram is for. The SPI that this host
// allocated carries the number in its first octet; an IKE_SA_INIT request,
// which has none of ours, goes by a hash of the peer's address and SPIi, so
// that its retransmission and its COOKIE retry meet the same shard.
func ShardOf(datagram []byte, remote netip.AddrPort, shards int) int {
	if shards <= 1 || len(datagram) < message.HeaderLen {
		return 0
	}
	ours := datagram[0:8] // SPIi: we are the original initiator
	if message.Flags(datagram[19])&message.FlagInitiator != 0 {
		ours = datagram[8:16]
		if binary.BigEndian.Uint64(ours) == 0 {
			h := fnv.New32a()
			addr := remote.Addr().Unmap().As16()
			h.Write(addr[:])
			h.Write(datagram[0:8])
			return int(h.Sum32() % uint32(shards))
		}
	}
	return int(ours[0]) % shards
}

// do appends one effect of the input being handled.
func (e *Engine) do(f Effect) { e.out.Effects = append(e.out.Effects, f) }

// trace reports an event and counts its reason.
func (e *Engine) trace(tag trace.Tag, reason, text string, attrs ...trace.Attr) {
	if reason != "" {
		e.counters[reason]++
	}
	e.do(Trace{Event: trace.Event{Tag: tag, Reason: reason, Text: text, Attrs: attrs}})
}

func (e *Engine) kernel(serial uint64, op kernel.Op) {
	owner := kernel.Owner{Engine: kernel.IKEv2, Shard: e.cfg.Shard, Serial: serial}
	e.do(KernelRequest{Request: kernel.Request{Owner: owner, Op: op}})
}
