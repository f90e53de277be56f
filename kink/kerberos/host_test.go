package kerberos

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"racoon2/kink"
)

// stubKDC answers everything with reply, or with silence.
type stubKDC struct {
	calls atomic.Int32
	reply []byte
	hold  chan struct{}
}

func (k *stubKDC) Exchange(ctx context.Context, _ string, _ []byte) ([]byte, error) {
	k.calls.Add(1)
	if k.hold != nil {
		select {
		case <-k.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if k.reply == nil {
		return nil, errors.New("no answer in time")
	}
	return k.reply, nil
}

// Many jobs wait for one silent KDC: it is asked once, and all get the same answer.
func TestOneLoginAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHost(t)
		kdc := &stubKDC{hold: make(chan struct{})}
		h.conf.KDC = kdc
		f := kink.FetchTicket{Local: hostB.String(), Peer: peerA.String()}
		for range 8 {
			go func() {
				_, err := h.Fetch(context.Background(), testNow, rand.Reader, f)
				if err == nil || !strings.Contains(err.Error(), "no answer in time") {
					t.Errorf("%v", err)
				}
			}()
		}
		synctest.Wait()
		close(kdc.hold)
		synctest.Wait()
		if n := kdc.calls.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		kdc.hold = make(chan struct{})
		if _, err := h.Fetch(ctx, testNow, rand.Reader, f); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled job: %v", err)
		}
	})
}

func TestKDCErrorsAreTyped(t *testing.T) {
	h := testHost(t)
	for _, code := range []kink.KRBCode{kink.KDC_ERR_MUST_USE_USER2USER, kdcErrCPrincipalUnknown, kdcErrPreauthFailed} {
		m := errorMessage{code: code, stime: testNow, service: tgs("EXAMPLE.COM", "EXAMPLE.COM"), text: "unused"}
		reply, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		h.conf.KDC = &stubKDC{reply: reply}
		_, err = h.Fetch(context.Background(), testNow, rand.Reader, kink.FetchTicket{Local: hostB.String(), Peer: peerA.String()})
		if codeOf(t, err) != code || !strings.Contains(err.Error(), codeName(code)) {
			t.Errorf("%v: %v", code, err)
		}
	}
	for _, noise := range [][]byte{{}, {0x6B}, {0x7E, 0x01, 0x00}, []byte("noise")} {
		h.conf.KDC = &stubKDC{reply: noise}
		if _, err := h.Fetch(context.Background(), testNow, rand.Reader, kink.FetchTicket{Local: hostB.String(), Peer: peerA.String()}); err == nil {
			t.Errorf("%x is taken", noise)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no principal":    {Rand: rand.Reader},
		"no randomness":   {Principals: []string{"a@R"}},
		"no realm":        {Principals: []string{"a"}, Rand: rand.Reader},
		"principal twice": {Principals: []string{"a@R", "a@R"}, Rand: rand.Reader},
		"DES":             {Principals: []string{"a@R"}, Rand: rand.Reader, ETypes: []EType{3}},
		"type twice":      {Principals: []string{"a@R"}, Rand: rand.Reader, ETypes: []EType{18, 18}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// The start-up window: authenticators from before the start are refused with a session,
// so that the client learns the time, unless the cache of the process before is there.
func TestRestart(t *testing.T) {
	before := testHost(t)
	tk := baseGrant(t, AES256_CTS_HMAC_SHA1_96).ticket(t, before)
	octets, _, _ := tk.APReq(testNow, 0, rand.Reader)
	unseen, _, _ := tk.APReq(testNow, 0, rand.Reader)
	commit := func(h *Host, octets []byte, now time.Time) kink.KRBCode {
		t.Helper()
		s, err := h.Accept(now, octets, source)
		if s == nil {
			t.Fatal(err)
		}
		committed := codeOf(t, s.Commit(now))
		if err != nil && codeOf(t, err) != committed {
			t.Errorf("Accept says %v, Commit %v", err, committed)
		}
		return committed
	}
	if code := commit(before, octets, testNow); code != 0 {
		t.Fatal(code)
	}
	start := testNow.Add(30 * time.Second)
	after := testHost(t)
	after.replays.start = start
	if code := commit(after, octets, start); code != kink.KRB_AP_ERR_SKEW {
		t.Errorf("without the cache: %v", code)
	}
	if err := after.LoadReplays(start, before.SaveReplays(testNow.Add(time.Second))); err != nil || after.Replays() != 1 {
		t.Fatalf("%d entries, %v", after.Replays(), err)
	}
	if code := commit(after, octets, start); code != kink.KRB_AP_ERR_REPEAT {
		t.Errorf("with the cache: %v", code)
	}
	if code := commit(after, unseen, start); code != 0 {
		t.Errorf("with the cache, not seen: %v", code)
	}
}

func TestShortPRF(t *testing.T) {
	h := testHost(t)
	h.conf.PRF16 = true
	octets, _, _ := baseGrant(t, AES256_CTS_HMAC_SHA1_96).ticket(t, h).APReq(testNow, 0, rand.Reader)
	s, err := h.Accept(testNow, octets, source)
	if err != nil || len(s.PRF([]byte("x"))) != 16 {
		t.Errorf("%d octets, %v", len(s.PRF([]byte("x"))), err)
	}
	h.conf.PRF16 = false
	if s, _ = h.Accept(testNow, octets, source); len(s.PRF([]byte("x"))) != 20 {
		t.Errorf("%d octets", len(s.PRF([]byte("x"))))
	}
}

// The ticket cache is bounded, and a ticket that ends first goes first.
func TestTicketCacheBound(t *testing.T) {
	a := newAccount(hostB, 3)
	add := func(peer string, end time.Duration) {
		a.keep(testNow, &ticket{session: session{peer: peer, end: testNow.Add(end)}})
	}
	add("old", -time.Minute)
	add("a", time.Hour)
	add("b", 2*time.Hour)
	add("c", 3*time.Hour)
	add("d", 4*time.Hour)
	for peer, want := range map[string]bool{"old": false, "a": false, "b": true, "c": true, "d": true} {
		if got := a.cached(peer, testNow, false, nil) != nil; got != want {
			t.Errorf("%s: %v", peer, got)
		}
	}
	if a.cached("b", testNow.Add(3*time.Hour), false, nil) != nil {
		t.Error("a ticket that ends too early is given out")
	}
	a.refuse("d", false)
	if a.cached("d", testNow, false, nil) != nil {
		t.Error("a refused ticket is given out")
	}
}

// TestFetchUserToUser: only a user-to-user ticket will do where one is asked for. One that
// is at hand serves until the peer refuses it; without one the peer's TGT is needed.
func TestFetchUserToUser(t *testing.T) {
	h := testHost(t)
	kdc := &stubKDC{}
	h.conf.KDC = kdc
	a := h.account(hostB.String())
	key, err := NewKey(AES256_CTS_HMAC_SHA1_96, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, userToUser := range []bool{false, true} {
		a.keep(testNow, &ticket{session: session{key: key, peer: peerA.String(), end: testNow.Add(time.Hour), userToUser: userToUser}})
	}
	f := kink.FetchTicket{Local: hostB.String(), Peer: peerA.String(), UserToUser: true}
	got, err := h.Fetch(context.Background(), testNow, rand.Reader, f)
	if err != nil || !got.UserToUser() {
		t.Errorf("with one at hand: %v, %v", got, err)
	}
	if got := h.Cached(testNow, f); got == nil || !got.UserToUser() {
		t.Errorf("the cache has %v", got)
	}
	if got := h.Cached(testNow, kink.FetchTicket{Local: f.Local, Peer: f.Peer, Until: testNow.Add(2 * time.Hour)}); got != nil {
		t.Errorf("one that ends too early: %v", got)
	}
	f.Evict = true
	if got := h.Cached(testNow, f); got != nil {
		t.Errorf("one that is to be given up: %v", got)
	}
	if _, err := h.Fetch(context.Background(), testNow, rand.Reader, f); codeOf(t, err) != kink.KDC_ERR_MUST_USE_USER2USER {
		t.Errorf("it is refused: %v", err)
	}
	f.Evict = false
	if _, err := h.Fetch(context.Background(), testNow, rand.Reader, f); codeOf(t, err) != kink.KDC_ERR_MUST_USE_USER2USER {
		t.Errorf("and not given out again: %v", err)
	}
	f.UserToUser = false
	if got, err := h.Fetch(context.Background(), testNow, rand.Reader, f); err != nil || got.UserToUser() {
		t.Errorf("the plain one: %v, %v", got, err)
	}
	if n := kdc.calls.Load(); n != 0 {
		t.Errorf("the KDC was asked %d times", n)
	}
}
