package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"racoon2/kink"
	"racoon2/kink/kerberos"
)

// TestRetiredPrincipalsAreForgotten: what a reload takes away serves the transactions under
// way for a while, and is not kept for ever.
func TestRetiredPrincipalsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Agent{}
		a.o.Now = time.Now
		tk := &tickets{a: a}
		tk.realms.Store(new([]*realm))
		tk.retired.Store(new([]*realm))
		conf, err := kerberos.ParseKrb5Conf([]byte("[libdefaults]\ndns_lookup_kdc = no\n"))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r := tk.open(Realm{Principals: []string{"kink/a.example.com@EXAMPLE.COM"}, Conf: conf}, time.Now())
			tk.mu.Lock()
			tk.retire(r)
			tk.mu.Unlock()
		}
		if n := len(*tk.retired.Load()); n != 3 {
			t.Errorf("%d principals serve what is under way", n)
		}
		time.Sleep(retireTime + time.Second)
		if n := len(*tk.retired.Load()); n != 0 {
			t.Errorf("%d principals are kept", n)
		}
		_, err = tk.fetch(t.Context(), kink.FetchTicket{Local: "kink/a.example.com@EXAMPLE.COM", Peer: "kink/b.example.com@EXAMPLE.COM"})
		if refused := (*kink.KRBError)(nil); !errors.As(err, &refused) || refused.Code != kink.KRB_AP_ERR_NOT_US {
			t.Errorf("a ticket for a principal that is gone: %v", err)
		}
	})
}

// TestCachedTicketsDoNotWait: with a KDC that is down, who has a ticket does not stand in
// line behind those who have none.
func TestCachedTicketsDoNotWait(t *testing.T) {
	a := &Agent{ctx: t.Context()}
	a.o.Now = time.Now
	tk := newTickets(a)
	a.tickets = tk
	for n := range ticketQueue { // all of them wait for the KDC
		select {
		case tk.pool.queue <- func() { <-t.Context().Done() }:
		default:
			t.Fatalf("%d wait, and the next one holds up the engine", n)
		}
	}
	conf, err := kerberos.ParseKrb5Conf(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := tk.open(Realm{Principals: []string{"kink/a.example.com@EXAMPLE.COM"}, Conf: conf}, time.Now())
	tk.realms.Store(&[]*realm{r})
	f := kink.FetchTicket{Serial: 7, Local: "kink/a.example.com@EXAMPLE.COM", Peer: "kink/b.example.com@EXAMPLE.COM"}
	if tk.cached(f) != nil || tk.cached(kink.FetchTicket{Local: "nobody@EXAMPLE.COM"}) != nil {
		t.Error("a ticket out of nothing")
	}
}
