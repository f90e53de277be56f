package userspace

import (
	"fmt"
	"testing"
	"time"

	"racoon2/kernel"
)

// Some hundred policies come and go in reasonable time.
func TestManyPolicies(t *testing.T) {
	const n = 60
	_, na, _ := hostPair(t)
	a := start(t, na, Options{})
	began := time.Now()
	var all []kernel.Policy
	for i := range n {
		w := tunnel{
			mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", reqID: uint32(i + 1),
			inner: "10.1.0.0/24", outer: fmt.Sprintf("10.%d.%d.0/24", 100+i/250, i%250),
		}
		for _, p := range w.policies(w.selector()) {
			p.Priority += uint32(i)
			all = append(all, p)
			a.do(kernel.AddPolicy{Policy: p})
		}
	}
	added := time.Since(began)
	for _, p := range all {
		a.do(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority})
	}
	t.Logf("%d policies added in %v, deleted in %v", len(all), added, time.Since(began)-added)
	must(t, na.Do(func() error {
		rules, routes, _, err := installedHere()
		if len(rules) != 0 || len(routes) != 0 {
			t.Errorf("left: %v, %v", rules, routes)
		}
		return err
	}))
}
