package kerneltest

import (
	"testing"
	"time"

	"racoon2/kernel"
)

func testSA(t *testing.T, a, b *end) {
	x := sa(a.Addr, b.Addr, 0x10001, kernel.Out, kernel.Transport, suites[0])
	a.must(kernel.AddSA{SA: x})
	a.refuse(kernel.AddSA{SA: x}, kernel.ErrExists)

	got := a.must(kernel.GetSA{ID: x.SAID}).SAs
	if len(got) != 1 {
		t.Fatalf("GetSA gave %d SAs", len(got))
	}
	s := got[0]
	if s.SAID != x.SAID || s.Src != x.Src || s.Mode != x.Mode || s.ReqID != x.ReqID || s.Encr != x.Encr {
		t.Errorf("GetSA gave %v with transform %d, want %v with %d", s.SA, s.Encr, x, x.Encr)
	}
	if len(s.EncrKey) != 0 || len(s.IntegKey) != 0 {
		t.Error("GetSA gave keys")
	}
	if s.Packets != 0 || s.Bytes != 0 || !s.LastUsed.IsZero() {
		t.Errorf("an SA that was never used counts %d packets, %d octets, used %v", s.Packets, s.Bytes, s.LastUsed)
	}
	if a.Timed && time.Since(s.Added).Abs() > time.Minute {
		t.Errorf("added %v", s.Added)
	}

	y := sa(b.Addr, a.Addr, 0x10002, kernel.In, kernel.Transport, suites[0])
	a.must(kernel.AddSA{SA: y})
	if n := len(a.must(kernel.DumpSA{}).SAs); n != 2 {
		t.Errorf("DumpSA gave %d SAs", n)
	}
	a.must(kernel.DeleteSA{ID: x.SAID})
	a.refuse(kernel.DeleteSA{ID: x.SAID}, kernel.ErrNotFound)
	a.refuse(kernel.GetSA{ID: x.SAID}, kernel.ErrNotFound)
	if rest := a.must(kernel.DumpSA{}).SAs; len(rest) != 1 || rest[0].SAID != y.SAID {
		t.Errorf("DumpSA gave %v", rest)
	}
	a.must(kernel.DeleteSA{ID: y.SAID})
}

func testGetSPI(t *testing.T, a, b *end) {
	get := kernel.GetSPI{Src: b.Addr, Dst: a.Addr, Proto: kernel.ESP, Mode: kernel.Transport, ReqID: reqID}
	seen := map[kernel.SPI]bool{}
	for range 32 {
		spi := a.must(get).SPI
		if spi < 256 || seen[spi] {
			t.Errorf("SPI %v is reserved or was given before", spi)
		}
		seen[spi] = true
	}
	spi := a.must(get).SPI
	x := sa(b.Addr, a.Addr, spi, kernel.In, kernel.Transport, suites[0])
	a.must(kernel.AddSA{SA: x})
	a.refuse(kernel.AddSA{SA: x}, kernel.ErrExists)
	a.must(kernel.DeleteSA{ID: x.SAID})
	for spi := range seen {
		a.must(kernel.DeleteSA{ID: kernel.SAID{Dst: a.Addr, Proto: kernel.ESP, SPI: spi}})
	}
	if rest := a.must(kernel.DumpSA{}).SAs; len(rest) != 0 {
		t.Errorf("left over: %v", rest)
	}
}

func testFlush(t *testing.T, a, b *end) {
	for i := range kernel.SPI(5) {
		a.must(kernel.AddSA{SA: sa(a.Addr, b.Addr, 0x20000+i, kernel.Out, kernel.Tunnel, suites[0])})
	}
	a.must(kernel.FlushSA{Proto: kernel.ESP})
	if rest := a.must(kernel.DumpSA{}).SAs; len(rest) != 0 {
		t.Errorf("after FlushSA: %v", rest)
	}
	a.must(kernel.FlushSA{})
}

func testUpdate(t *testing.T, a, b *end) {
	if !a.Backend.Capabilities().UpdateSA {
		return
	}
	x := sa(a.Addr, b.Addr, 0x30001, kernel.Out, kernel.Tunnel, suites[0])
	a.refuse(kernel.UpdateSA{SA: x}, kernel.ErrNotFound)
	a.must(kernel.AddSA{SA: x})
	x.EncrKey, x.IntegKey = nil, nil // an update never has keys
	x.Soft.Time, x.Hard.Time = 100*time.Hour, 200*time.Hour
	a.must(kernel.UpdateSA{SA: x})
	if got := a.must(kernel.GetSA{ID: x.SAID}).SAs[0]; got.Hard.Time != x.Hard.Time || got.Soft.Time != x.Soft.Time {
		t.Errorf("after UpdateSA the lifetimes are %v and %v", got.Soft, got.Hard)
	}

	// Two peers chose one SPI: the SA of the one that moves to where the other is
	// does not become the other's.
	y, was := x, x.Dst
	y.Dst = was.Next()
	y.EncrKey, y.IntegKey = sa(a.Addr, y.Dst, y.SPI, kernel.Out, kernel.Tunnel, suites[0]).EncrKey, nil
	a.must(kernel.AddSA{SA: y})
	x.Dst = y.Dst
	a.refuse(kernel.UpdateSA{SA: x, OldDst: was}, kernel.ErrExists)
	if n := len(a.must(kernel.DumpSA{}).SAs); n != 2 {
		t.Errorf("%d SAs after an update that was refused", n)
	}
	x.Dst = y.Dst.Next()
	a.refuse(kernel.UpdateSA{SA: x}, kernel.ErrNotFound) // nobody's name
	a.must(kernel.UpdateSA{SA: x, OldDst: was})
	a.refuse(kernel.GetSA{ID: kernel.SAID{Dst: was, Proto: x.Proto, SPI: x.SPI}}, kernel.ErrNotFound)
	a.must(kernel.DeleteSA{ID: x.SAID})
	a.must(kernel.DeleteSA{ID: y.SAID})
}

func testPolicy(t *testing.T, a, b *end) {
	p := policy(a.Addr, b.Addr, kernel.Out, kernel.Tunnel)
	id := a.must(kernel.AddPolicy{Policy: p}).Policy
	if id == 0 {
		t.Error("AddPolicy gave no PolicyID")
	}
	a.refuse(kernel.AddPolicy{Policy: p}, kernel.ErrExists)
	in := policy(b.Addr, a.Addr, kernel.In, kernel.Tunnel)
	if other := a.must(kernel.AddPolicy{Policy: in}).Policy; other == id {
		t.Error("two policies have one PolicyID")
	}
	p.Templates[0].Level = kernel.Unique
	updated := a.must(kernel.UpdatePolicy{Policy: p}).Policy
	found := false
	for _, q := range a.must(kernel.DumpPolicy{}).Policies {
		if q.Selector != p.Selector || q.Direction != kernel.Out {
			continue
		}
		found = true
		want := p
		want.ID = updated
		if q.ID != want.ID || q.Action != want.Action || q.Priority != want.Priority ||
			len(q.Templates) != 1 || q.Templates[0] != want.Templates[0] {
			t.Errorf("DumpPolicy gave %+v, want %+v", q, want)
		}
	}
	if !found {
		t.Error("DumpPolicy does not have the policy")
	}
	for _, q := range []kernel.Policy{p, in} {
		del := kernel.DeletePolicy{Selector: q.Selector, Direction: q.Direction, Priority: q.Priority}
		a.must(del)
		a.refuse(del, kernel.ErrNotFound)
	}
	if rest := a.must(kernel.DumpPolicy{}).Policies; len(rest) != 0 {
		t.Errorf("left over: %v", rest)
	}
}

func testExpire(t *testing.T, a, b *end) {
	if !a.Timed {
		return
	}
	x := sa(a.Addr, b.Addr, 0x40001, kernel.Out, kernel.Tunnel, suites[0])
	x.Soft.Time, x.Hard.Time = time.Second, 2*time.Second
	a.must(kernel.AddSA{SA: x})
	for _, hard := range []bool{false, true} {
		got := event[kernel.Expire](a)
		if want := (kernel.Expire{ID: x.SAID, ReqID: reqID, Hard: hard}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	a.refuse(kernel.DeleteSA{ID: x.SAID}, kernel.ErrNotFound)
}

// testNoEcho holds that a backend does not report its own owner's changes.
func testNoEcho(t *testing.T, a, b *end) {
	x := sa(a.Addr, b.Addr, 0x50001, kernel.Out, kernel.Tunnel, suites[0])
	p := policy(a.Addr, b.Addr, kernel.Out, kernel.Tunnel)
	a.must(kernel.AddSA{SA: x})
	a.must(kernel.DeleteSA{ID: x.SAID})
	a.must(kernel.FlushSA{})
	a.must(kernel.AddPolicy{Policy: p})
	a.must(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority})
	protect(a, b, kernel.Transport)
	defer unprotect(a, b)
	a.Send(Port, "for an acquire")
	limit := time.After(Patience)
	for {
		select {
		case e := <-a.Backend.Events():
			if _, ok := e.(kernel.Acquire); ok {
				return // it comes after all that the operations could have caused
			}
			t.Errorf("own change reported: %T", e)
		case <-limit:
			t.Fatal("no Acquire")
		}
	}
}

func testClose(t *testing.T, a, b *end) {
	if err := a.Backend.Close(); err != nil {
		t.Error(err)
	}
	limit := time.After(Patience)
	for results, events := a.Backend.Results(), a.Backend.Events(); results != nil || events != nil; {
		select {
		case _, open := <-results:
			if !open {
				results = nil
			}
		case _, open := <-events:
			if !open {
				events = nil
			}
		case <-limit:
			t.Fatal("Close leaves the channels open")
		}
	}
}
