package ikev2

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
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
	table    []row
	now      time.Time    // of the input being handled
	out      *Outbox      // of the input being handled
	serial   uint64       // of the last IKE SA, job or kernel request
	closing  bool         // Shutdown was asked for
	locals   []netip.Addr // of this host; nil while nobody has said them

	sas      map[uint64]*ikeSA // by serial
	bySPI    map[uint64]*ikeSA // by the SPI that this host allocated
	byRemote map[string][]*ikeSA
	initial  map[initialKey]*ikeSA
	bySAID   map[kernel.SAID]*childSA

	jobs      map[uint64]func(any, error)
	kernelOps map[uint64]func(kernel.Result)
	timers    timerHeap
	lingering lingering
	counters  map[string]uint64

	crowd        crowd
	reassembling int // octets of incomplete messages

	cookies     cookieJar
	unknownSPIs bucket // answers with INVALID_IKE_SPI
	refusals    bucket // other errors in the clear
	hints       bucket // liveness checks that a clear message asked for
	earlies     bucket // Message IDs above the window that are told
}

// New makes an engine without any SA.
func New(cfg Config) *Engine {
	if cfg.Shared == nil {
		cfg.Shared = new(Shared)
	}
	if cfg.Settings == nil {
		cfg.Settings = new(Settings)
	}
	return &Engine{
		cfg: cfg, settings: cfg.Settings, table: transitions(),
		sas: make(map[uint64]*ikeSA), bySPI: make(map[uint64]*ikeSA), byRemote: make(map[string][]*ikeSA),
		initial: make(map[initialKey]*ikeSA), bySAID: make(map[kernel.SAID]*childSA),
		jobs: make(map[uint64]func(any, error)), kernelOps: make(map[uint64]func(kernel.Result)),
		lingering: lingering{bySPI: make(map[uint64]*lastWord)}, counters: make(map[string]uint64), crowd: make(crowd),
		unknownSPIs: bucket{rate: 5}, refusals: bucket{rate: 100}, hints: bucket{rate: 1}, earlies: bucket{rate: 1},
	}
}

// Handle takes one input and appends all of its effects to out, in order.
// now never goes back between two calls.
func (e *Engine) Handle(now time.Time, in Input, out *Outbox) {
	e.now, e.out = now, out
	switch in := in.(type) {
	case Datagram:
		e.datagram(in)
	case Timeout:
		e.expireTimers()
	case KernelResult:
		e.kernelResult(in.Result)
	case KernelEvent:
		e.kernelEvent(in.Event)
	case JobDone:
		e.jobDone(in)
	case Initiate:
		e.initiate(in)
	case Terminate:
		e.terminate(in)
	case Rekey:
		e.rekey(in)
	case Routed:
		e.routed(in)
	case Reconfigure:
		e.reconfigure(in.Settings)
	case PeerAddresses:
		e.peerAddresses(in)
	case MoveChild:
		e.moveChild(in)
	case LocalAddresses:
		e.localAddresses(in)
	case Shutdown:
		e.shutdown()
	}
	e.out = nil
}

// Deadline is the time of the earliest timer; false when no timer runs.
func (e *Engine) Deadline() (time.Time, bool) {
	if len(e.timers) == 0 {
		return time.Time{}, false
	}
	return e.timers[0].deadline, true
}

// Idle says that no SA and no unanswered kernel request is left.
func (e *Engine) Idle() bool { return len(e.sas) == 0 && len(e.kernelOps) == 0 }

// ShardOf finds the shard that a datagram is for. The SPI that this host
// allocated carries the number in its first octet; an IKE_SA_INIT request,
// which has none of ours, goes by ShardOfAddress.
func ShardOf(datagram []byte, remote netip.AddrPort, shards int) int {
	if shards <= 1 || len(datagram) < message.HeaderLen {
		return 0
	}
	ours := datagram[0:8] // SPIi: we are the original initiator
	if message.Flags(datagram[19])&message.FlagInitiator != 0 {
		ours = datagram[8:16]
		if binary.BigEndian.Uint64(ours) == 0 {
			return ShardOfAddress(remote.Addr(), shards)
		}
	}
	return int(ours[0]) % shards
}

// ShardOfAddress is the shard for all that begins between this host and a peer
// with this address, by either end's doing: so that retransmissions and COOKIE
// retries meet their state, and INITIAL_CONTACT (RFC 7296 §2.4) and simultaneous
// beginnings are judged by one that knows both IKE SAs.
func ShardOfAddress(remote netip.Addr, shards int) int {
	if shards <= 1 {
		return 0
	}
	addr := remote.Unmap().WithZone("").As16()
	h := fnv.New32a()
	h.Write(addr[:])
	return int(h.Sum32() % uint32(shards))
}

// kernelEvent takes what the kernel noticed by itself.
func (e *Engine) kernelEvent(ev kernel.Event) {
	switch ev := ev.(type) {
	case kernel.Expire:
		e.expired(ev)
	case kernel.Mapping:
		e.mapping(ev)
	case kernel.Deleted:
		if c := e.bySAID[ev.ID]; c != nil {
			c.lost("somebody deleted its SA in the kernel")
		}
	case kernel.Flushed:
		e.flushed(ev.Proto)
	}
}

// job gives work to the pool. The IKE SA is busy until done has its result;
// the result of an IKE SA that ended meanwhile falls to the ground.
func (sa *ikeSA) job(name string, run func() (any, error), done func(any, error)) {
	serial := sa.e.nextSerial()
	sa.wait()
	sa.e.jobs[serial] = func(v any, err error) {
		if sa.state == stateDead {
			forget(v)
			return
		}
		sa.busy = false
		done(v, err)
		sa.pump()
	}
	sa.e.do(Job{Serial: serial, Name: name, Run: run})
}

// forget wipes the secret in a job's result that nobody waits for any more.
func forget(v any) {
	switch v := v.(type) {
	case []byte:
		clear(v)
	case exchanged:
		clear(v.shared)
	}
}

func (e *Engine) jobDone(in JobDone) {
	done := e.jobs[in.Serial]
	delete(e.jobs, in.Serial)
	if done != nil {
		done(in.Value, in.Err)
	}
}

// nextSerial numbers IKE SAs, jobs and kernel requests.
func (e *Engine) nextSerial() uint64 {
	e.serial++
	return e.serial
}

// random fills b from the injected source.
func (e *Engine) random(b []byte) error {
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		return fmt.Errorf("the random source fails: %w", err)
	}
	return nil
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
	e.logSA(op)
	e.do(KernelRequest{Request: kernel.Request{Owner: owner, Op: op}})
}
