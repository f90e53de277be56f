package agent

import (
	"net/netip"
	"testing"

	"racoon2/ikev2/message"
)

// A peer's ranges of addresses take no more prefixes than anybody makes use of.
func TestPrefixesOfHostileRanges(t *testing.T) {
	odd := message.TrafficSelector{Start: netip.MustParseAddr("::1"), End: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")}
	list := make([]message.TrafficSelector, 255)
	for i := range list {
		list[i] = odd
	}
	if n := len(prefixesOf(list)); n <= manyPrefixes || n > manyPrefixes+254 {
		t.Errorf("%d prefixes", n)
	}
	if n := len(prefixesOf(list[:2])); n != 508 {
		t.Errorf("%d prefixes of two ranges", n)
	}
}
