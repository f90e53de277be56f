package agent

import (
	"net/netip"
	"testing"
)

func TestSourcesAreBounded(t *testing.T) {
	var s sources
	a := netip.MustParseAddr("127.0.0.1")
	for range 3000 {
		s.control(a)
		a = a.Next()
	}
	if len(s.made) > maxSources {
		t.Errorf("%d control messages remembered", len(s.made))
	}
}
