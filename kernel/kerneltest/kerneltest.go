// Package kerneltest is the conformance suite of kernel.Backend: one table of
// operations with the results, events and packets that every backend must
// show. A backend's own test makes two hosts joined by a wire and calls Run.
//
// Packets are UDP datagrams between the two hosts' addresses. What a backend
// says it cannot do (kernel.Capabilities) is not asked of it.
package kerneltest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// Patience is how long the suite waits for what must come. What must not come
// is never waited for: a packet that may pass follows and must come first.
var Patience = 10 * time.Second

// Port is the UDP port that protected packets are sent to; OpenPort's packets
// are never protected.
const (
	Port     = 7001
	OpenPort = 7002
)

// Host is one of two hosts that are joined by a wire.
type Host struct {
	Backend kernel.Backend
	Addr    netip.Addr
	Second  netip.Addr // another address of the host, where migrations move tunnels to
	// Send sends a UDP datagram from Addr, any source port, to the other host.
	Send func(port uint16, text string)
	// Received gives the texts that arrived on Port and OpenPort.
	Received <-chan string
	// Timed says that Backend runs on real time, so that a limit of a second is
	// reached after a second.
	Timed bool
}

// Pair makes two fresh hosts; they go with the test.
type Pair func(t *testing.T) (a, b *Host)

// Run runs the suite.
func Run(t *testing.T, pair Pair) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *end, *end)
	}{
		{"SA", testSA},
		{"GetSPI", testGetSPI},
		{"FlushSA", testFlush},
		{"UpdateSA", testUpdate},
		{"Policy", testPolicy},
		{"Acquire", testAcquire},
		{"Flow", testFlow},
		{"Bundles", testBundles},
		{"Migrate", testMigrate},
		{"Bindings", testBindings},
		{"WrongKey", testWrongKey},
		{"ClearInbound", testClearInbound},
		{"Expire", testExpire},
		{"Bytes", testBytes},
		{"NoEcho", testNoEcho},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t)
			c.run(t, &end{t, a}, &end{t, b})
		})
	}
}

// end is a Host with the test that uses it.
type end struct {
	t *testing.T
	*Host
}

// do submits an operation and returns its result, which must be the next one.
func (e *end) do(op kernel.Op) kernel.Result {
	e.t.Helper()
	owner := kernel.Owner{Engine: kernel.IKEv2, Shard: 3, Serial: 4711}
	e.Backend.Submit(kernel.Request{Owner: owner, Op: op})
	select {
	case r, open := <-e.Backend.Results():
		if !open {
			e.t.Fatalf("%T: the backend is closed", op)
		}
		if r.Request.Owner != owner {
			e.t.Errorf("%T: the result belongs to %+v", op, r.Request.Owner)
		}
		return r
	case <-time.After(Patience):
		e.t.Fatalf("%T: no result", op)
	}
	panic("not reached")
}

// must is do for what has to succeed.
func (e *end) must(op kernel.Op) kernel.Result {
	e.t.Helper()
	r := e.do(op)
	if r.Err != nil {
		e.t.Fatalf("%T: %v", op, r.Err)
	}
	return r
}

// refuse is do for what has to fail with the given cause.
func (e *end) refuse(op kernel.Op, cause error) {
	e.t.Helper()
	if r := e.do(op); !errors.Is(r.Err, cause) {
		e.t.Errorf("%T: %v, want %v", op, r.Err, cause)
	}
}

// event waits for an event of one type; others may come before it.
func event[E kernel.Event](e *end) E {
	e.t.Helper()
	limit := time.After(Patience)
	for {
		select {
		case got, open := <-e.Backend.Events():
			if !open {
				e.t.Fatal("the backend is closed")
			}
			if want, ok := got.(E); ok {
				return want
			}
		case <-limit:
			var none E
			e.t.Fatalf("no event %T", none)
		}
	}
}

// receive waits for a text; texts of before are skipped, those in never must
// not be among them.
func (e *end) receive(want string, never ...string) {
	e.t.Helper()
	limit := time.After(Patience)
	for {
		select {
		case got := <-e.Received:
			if slices.Contains(never, got) {
				e.t.Errorf("%q was delivered", got)
			}
			if got == want {
				return
			}
		case <-limit:
			e.t.Fatalf("%q was not delivered", want)
		}
	}
}
