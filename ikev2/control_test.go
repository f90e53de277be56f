package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// Terminate by serial, by remote, by child.
func TestTerminate(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.handle(Terminate{Remote: "osaka"})
	a.handle(Terminate{IKE: 99999})
	a.handle(Terminate{Child: 1})
	w.settle()
	w.wantUp(a, b, 1, 1)
	secret := a.e.all()[0].keys.d
	a.handle(Terminate{IKE: a.e.Status()[0].Serial, Reason: "maintenance"})
	a.handle(Terminate{Remote: "tokyo"}) // twice is once
	w.settle()
	a.wantNothing()
	b.wantNothing()
	if string(secret) != string(make([]byte, len(secret))) {
		t.Error("SK_d is still there")
	}
	if a.downs[0].Reason != "maintenance" {
		t.Errorf("reason %q", a.downs[0].Reason)
	}
}

// Shutdown tells the peers and waits for a short time only.
func TestShutdown(t *testing.T) {
	for _, alive := range []bool{true, false} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		if !alive {
			w.filter = func(Send) []Send { return nil }
		}
		before := len(w.sent)
		a.handle(Shutdown{})
		if alive {
			w.settle()
			b.wantNothing()
		} else {
			w.advance(1900 * time.Millisecond)
			if a.e.Idle() || len(w.sent)-before != 2 {
				t.Errorf("idle %v after %d datagrams, want a DELETE and its retransmission", a.e.Idle(), len(w.sent)-before)
			}
			w.advance(time.Second)
		}
		a.wantNothing()
		a.initiate()
		if len(a.failures) != 1 {
			t.Error("initiates after shutdown")
		}
		b.initiate()
		w.advance(100 * time.Millisecond)
		if alive {
			a.wantReason(reasonShutdown)
		}
		a.wantNothing()
	}
}

// Shutdown with a request outstanding that nobody answers.
func TestShutdownWhileWaiting(t *testing.T) {
	w, a, _ := pair(t)
	a.initiate()
	w.settle()
	w.filter = func(Send) []Send { return nil }
	a.expireSoft(t)
	a.handle(Shutdown{})
	w.advance(3 * time.Second)
	a.wantNothing()
}

// Settings that are the same touch nothing; others delete what they change.
func TestReconfigure(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	fresh := func() *Settings { return testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24") }
	a.handle(Reconfigure{Settings: fresh()})
	w.settle()
	w.wantUp(a, b, 1, 1)
	if len(w.sent) != 4 {
		t.Errorf("%d datagrams, want none for the same settings", len(w.sent)-4)
	}
	a.expireSoft(t) // works with the new settings' objects
	w.settle()
	w.wantUp(a, b, 1, 1)

	changed := fresh()
	changed.Remotes[0].Children[0].Lifetime.Time = time.Hour
	a.handle(Reconfigure{Settings: changed})
	w.settle()
	a.wantNothing()
	b.wantNothing()
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if sa := a.kernel.one(t, kernel.In); sa.Hard.Time != time.Hour || sa.Soft.Time < 48*time.Minute || sa.Soft.Time > 54*time.Minute {
		t.Errorf("lifetimes %v and %v", sa.Soft.Time, sa.Hard.Time)
	}
	a.handle(Reconfigure{Settings: &Settings{IKEPort: 500, NATPort: 4500}})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}

// A remote that is removed while its IKE SA is set up.
func TestReconfigureWhileNegotiating(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.step()
	a.handle(Reconfigure{Settings: &Settings{IKEPort: 500, NATPort: 4500}})
	w.advance(2 * time.Minute)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
	b.wantNothing()
}

// Status and counters tell what there is.
func TestStatus(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Lifetime = time.Hour })
	a.initiate()
	w.settle()
	i := a.e.Status()[0]
	if i.Remote != "tokyo" || i.State != "ESTABLISHED" || !i.Initiator || i.LocalID != "fqdn kyoto.example.test" || i.RemoteID != "fqdn tokyo.example.test" ||
		i.Encr != "ENCR_AES_GCM_16-128" || i.PRF != "PRF_HMAC_SHA2_256" || i.KE != "CURVE25519" || i.Integ != "" ||
		i.Expires.Sub(i.Established) != time.Hour || i.SPIi == 0 || i.SPIr == 0 {
		t.Errorf("%+v", i)
	}
	c := a.e.Counters()
	if c["ike_sas"] != 1 || c["child_sas"] != 1 || c["half_open"] != 0 || c[reasonEstablished] != 1 || c[reasonChildUp] != 1 {
		t.Errorf("%v", c)
	}
	if b.e.Status()[0].Initiator {
		t.Error("the responder is an initiator")
	}
}

// The SPI carries the shard, and datagrams find it.
func TestShardOf(t *testing.T) {
	w, a, b := pair(t)
	a.e.cfg.Shard, b.e.cfg.Shard = 3, 5
	a.initiate()
	w.settle()
	for i, p := range w.sent {
		want := 3
		if p.Local.Addr() == a.addr {
			want = 5
		}
		if i == 0 {
			first := ShardOf(p.Data, p.Local, 8)
			again := ShardOf(p.Data, netip.AddrPortFrom(p.Local.Addr(), 999), 8)
			if first != again || first < 0 || first > 7 {
				t.Errorf("an IKE_SA_INIT request goes to shards %d and %d", first, again)
			}
			continue
		}
		if got := ShardOf(p.Data, p.Local, 8); got != want {
			t.Errorf("datagram %d goes to shard %d, want %d", i, got, want)
		}
	}
	if ShardOf(nil, netip.AddrPort{}, 8) != 0 || ShardOf([]byte{0xff}, netip.AddrPort{}, 1) != 0 {
		t.Error("short datagrams do not go to shard 0")
	}
	spread := map[int]bool{}
	for n := range 64 {
		data := make([]byte, 28)
		data[7], data[19] = 1, byte(message.FlagInitiator)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 500)
		spread[ShardOf(data, from, 4)] = true
		if ShardOf(data, from, 4) != ShardOfAddress(from.Addr(), 4) {
			t.Error("a request does not go to the shard of its address")
		}
	}
	if len(spread) != 4 {
		t.Errorf("64 addresses meet %d of 4 shards", len(spread))
	}
}

// An IKE SA that is to go while its IKE_AUTH is unanswered is deleted as soon as
// the peer, which holds it for established, has answered.
func TestTerminateBeforeAuthAnswer(t *testing.T) {
	w, a, b := pair(t)
	lost := 0
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && resp && lost < 2 {
			lost++
			return nil
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	a.handle(Terminate{})
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	w.advance(10 * time.Second)
	a.wantNothing()
	b.wantNothing()
	if len(a.ups) != 0 {
		t.Error("a child came up that nobody wants any more")
	}
}
