package agent

import (
	"errors"
	"testing"

	"racoon2/kernel"
)

func TestChooseKernel(t *testing.T) {
	works := func(name string) candidate {
		return candidate{name, "it works", func() (kernel.Backend, error) { return newToyBackend(), nil }}
	}
	broken := func(name string) candidate {
		return candidate{name, "", func() (kernel.Backend, error) { return nil, errors.New("no ESP here") }}
	}
	for _, test := range []struct {
		name string
		list []candidate
		why  string
		err  string
	}{
		{"auto", []candidate{works("xfrm"), works("userspace")}, "it works", ""},
		{"", []candidate{broken("xfrm"), works("userspace")}, "xfrm: no ESP here; it works", ""},
		{"userspace", []candidate{works("xfrm"), works("userspace")}, "it works", ""},
		{"xfrm", []candidate{broken("xfrm"), works("userspace")}, "", "kernel backend xfrm: no ESP here"},
		{"auto", []candidate{broken("xfrm"), broken("userspace")}, "", "no kernel backend works: xfrm: no ESP here; userspace: no ESP here"},
		{"pfkey", []candidate{works("xfrm")}, "", "kernel backend pfkey: PF_KEY is the kernel interface of the BSDs, and this version has no backend for it"},
		{"auto", nil, "", "this program has no kernel backend for this system"},
	} {
		b, why, err := choose(test.name, test.list)
		if why != test.why || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err || (b == nil) != (err != nil) {
			t.Errorf("%q: %q, %v; want %q, %q", test.name, why, err, test.why, test.err)
		}
	}
}
