package kerberos

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"racoon2/kink"
)

// Eight goroutines replay one AP-REQ 20,000 times: it is accepted once.
func TestReplayRace(t *testing.T) {
	h := testHost(t)
	octets, _, _ := baseGrant(t, AES128_CTS_HMAC_SHA256_128).ticket(t, h).APReq(testNow, 0, rand.Reader)
	var accepted, repeated atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2500 {
				s, err := h.Accept(testNow, octets, source)
				if err != nil {
					t.Error(err)
					return
				}
				switch err := s.Commit(testNow).(type) {
				case nil:
					accepted.Add(1)
				case *kink.KRBError:
					if err.Code == kink.KRB_AP_ERR_REPEAT {
						repeated.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 1 || repeated.Load() != 19999 {
		t.Errorf("accepted %d times, refused %d times", accepted.Load(), repeated.Load())
	}
}

func TestReplayExpiry(t *testing.T) {
	c := newReplayCache(5*time.Minute, 100, time.Time{})
	key := keyOf("b", "a", testNow, []byte("x"))
	if err := c.insert(testNow, testNow, 0, "a", key); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, 5 * time.Minute, 10 * time.Minute} {
		if code := codeOf(t, c.insert(testNow.Add(after), testNow, 0, "a", key)); code != kink.KRB_AP_ERR_REPEAT {
			t.Errorf("%v later: %v", after, code)
		}
	}
	late := testNow.Add(12 * time.Minute)
	if code := codeOf(t, c.insert(late, testNow, 0, "a", key)); code != kink.KRB_AP_ERR_SKEW {
		t.Errorf("too late: %v", code)
	}
	if err := c.insert(late, late, 0, "a", keyOf("b", "a", late, nil)); err != nil || c.size() != 1 {
		t.Errorf("%d entries after the sweep, %v", c.size(), err)
	}
}

func TestReplayBound(t *testing.T) {
	c := newReplayCache(5*time.Minute, 80, time.Time{})
	full := 0
	for i := range 1000 {
		client := fmt.Sprint("client", i%20)
		at := testNow.Add(time.Duration(i) * time.Microsecond)
		if codeOf(t, c.insert(testNow, at, 0, client, keyOf("b", client, at, nil))) == kink.KRB_ERR_GENERIC {
			full++
		}
	}
	if c.size() != 80 || full != 920 {
		t.Errorf("%d entries, %d refused", c.size(), full)
	}
	one := newReplayCache(5*time.Minute, 80, time.Time{})
	for i := range 80 {
		at := testNow.Add(time.Duration(i) * time.Microsecond)
		_ = one.insert(testNow, at, 0, "greedy", keyOf("b", "greedy", at, nil))
	}
	if one.size() != 10 {
		t.Errorf("one client has %d entries", one.size())
	}
	if err := one.insert(testNow, testNow, 0, "other", keyOf("b", "other", testNow, nil)); err != nil {
		t.Errorf("another client: %v", err)
	}
}

// Across a restart: without the saved cache nothing from before is accepted, with it
// what was not seen is.
func TestReplayRestart(t *testing.T) {
	c := newReplayCache(5*time.Minute, 100, testNow.Add(-time.Hour))
	seen, unseen := keyOf("b", "a", testNow, nil), keyOf("b", "a", testNow, []byte("y"))
	if err := c.insert(testNow, testNow, 0, "a", seen); err != nil {
		t.Fatal(err)
	}
	saved := c.save(testNow.Add(time.Second))
	restart := testNow.Add(10 * time.Second)

	bare := newReplayCache(5*time.Minute, 100, restart)
	for _, key := range []replayKey{seen, unseen} {
		if code := codeOf(t, bare.insert(restart, testNow, 0, "a", key)); code != kink.KRB_AP_ERR_SKEW {
			t.Errorf("without the cache: %v", code)
		}
	}
	if err := bare.insert(restart, restart, 0, "a", keyOf("b", "a", restart, nil)); err != nil {
		t.Errorf("a new one: %v", err)
	}

	kept := newReplayCache(5*time.Minute, 100, restart)
	if err := kept.load(restart, saved); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, kept.insert(restart, testNow, 0, "a", seen)); code != kink.KRB_AP_ERR_REPEAT {
		t.Errorf("seen: %v", code)
	}
	if err := kept.insert(restart, testNow, 0, "a", unseen); err != nil {
		t.Errorf("not seen: %v", err)
	}

	for n := range saved {
		if newReplayCache(5*time.Minute, 100, restart).load(restart, saved[:n]) == nil {
			t.Fatalf("%d octets are taken", n)
		}
	}
	if newReplayCache(5*time.Minute, 100, restart).load(testNow.Add(-time.Minute), saved) == nil {
		t.Error("a cache from the future is taken")
	}
}

// TestReplayClock: a clock that was wrong for a moment, and far ahead, makes the cache
// forget. When it is right again, what was forgotten is not accepted once more; what is new is.
func TestReplayClock(t *testing.T) {
	c := newReplayCache(5*time.Minute, 100, testNow.Add(-time.Hour))
	key := keyOf("b", "a", testNow, []byte("x"))
	if err := c.insert(testNow, testNow, 0, "a", key); err != nil {
		t.Fatal(err)
	}
	ahead := testNow.Add(time.Hour)
	if err := c.insert(ahead, ahead, 0, "a", keyOf("b", "a", ahead, nil)); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, c.insert(testNow.Add(time.Second), testNow, 0, "a", key)); code != kink.KRB_AP_ERR_SKEW {
		t.Errorf("forgotten, and then: %v", code)
	}
	soon := testNow.Add(2 * time.Second)
	if err := c.insert(soon, soon, 0, "a", keyOf("b", "a", soon, nil)); err != nil {
		t.Errorf("a new one: %v", err)
	}
	// Nor by the next process.
	next := newReplayCache(5*time.Minute, 100, soon)
	if err := next.load(soon, c.save(soon)); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, next.insert(soon, testNow, 0, "a", key)); code != kink.KRB_AP_ERR_SKEW {
		t.Errorf("after a restart: %v", code)
	}
}
