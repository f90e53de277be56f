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
