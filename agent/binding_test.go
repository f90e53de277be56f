package agent

import (
	"net/netip"
	"strings"
	"testing"

	"racoon2/config"
	"racoon2/kernel"
)

// withPolicy is siteToSite with all that ties a policy to this host.
func withPolicy(words string) string {
	return strings.Replace(siteToSite, "remote_index tokyo;", "remote_index tokyo; "+words, 1)
}

func TestCompileBinding(t *testing.T) {
	all := kernel.Capabilities{IfID: true, Marks: true, Offload: true, MSS: true, ESN: true, ByteLifetimes: true, MaxReplay: 4096}
	everything := mustCompile(t, siteToSite, nil).IKEv2.Remotes[0].Children[0].Proposals[0]
	for _, e := range everything.Encr {
		all.Encr = append(all.Encr, e.ID)
	}
	all.Integ = everything.Integ
	c := mustCompile(t, withPolicy("if_id 7; xfrm_interface ipsec7; mark 0x10/0xff; hw_offload packet; mss_clamp pmtu;"), func(o *CompileOptions) { o.Kernel = &all })
	want := kernel.Binding{IfID: 7, Mark: kernel.Mark{Value: 0x10, Mask: 0xff}, Offload: kernel.OffloadPacket}
	if got := c.IKEv2.Remotes[0].Children[0].Binding; got != want {
		t.Errorf("child: %+v", got)
	}
	for _, s := range c.Policy.Selectors[:2] {
		if s.Binding != want || s.MSS != kernel.MSSFromMTU {
			t.Errorf("selector %s: %+v, MSS %d", s.Name, s.Binding, s.MSS)
		}
	}
	// A device that does the cipher does nothing for the policies.
	c = mustCompile(t, withPolicy("hw_offload crypto; mss_clamp 1300;"), nil)
	if got := c.IKEv2.Remotes[0].Children[0].Binding.Offload; got != kernel.OffloadCrypto {
		t.Errorf("child: %v", got)
	}
	if s := c.Policy.Selectors[0]; s.Binding != (kernel.Binding{}) || s.MSS != 1300 {
		t.Errorf("selector: %+v, MSS %d", s.Binding, s.MSS)
	}
	// What protects nothing is bound all the same.
	c = mustCompile(t, strings.NewReplacer("auto_ipsec", "discard", "remote_index tokyo;", "mark 5;").Replace(siteToSite), nil)
	if got := c.Policy.Selectors[0].Binding; got != (kernel.Binding{Mark: kernel.Mark{Value: 5, Mask: 0xffffffff}}) {
		t.Errorf("discard: %+v", got)
	}
}

// What a kernel lacks is found once a policy, and refused where traffic would be another.
func TestCompileBindingFindings(t *testing.T) {
	for _, test := range []struct {
		words, code string
		severity    config.Severity
	}{
		{"if_id 7;", "if-id", config.Error},
		{"mark 7;", "mark", config.Error},
		{"hw_offload crypto;", "hw-offload", config.Warning},
		{"mss_clamp 1300;", "mss-clamp", config.Warning},
	} {
		_, findings := compileText(t, withPolicy(test.words), func(o *CompileOptions) { o.Kernel = &kernel.Capabilities{} })
		n := 0
		for _, f := range findings {
			if f.Code == test.code && f.Severity == test.severity {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: %d findings in %v", test.words, n, findings)
		}
	}
}

// The device that is asked for the work is the one with this host's end.
func TestOffloadDevice(t *testing.T) {
	toy := newToyBackend()
	var d devices
	b := &offloading{toy, &d}
	d.set(testHost)
	me, peer := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	crypto := kernel.Binding{Offload: kernel.OffloadCrypto}
	tunnel := kernel.Selector{Src: netip.MustParsePrefix("10.1.0.0/16"), Dst: netip.MustParsePrefix("10.2.0.0/16")}
	host := kernel.Selector{Src: netip.PrefixFrom(peer, 32), Dst: netip.PrefixFrom(me, 32)}
	for _, test := range []struct {
		op   kernel.Op
		want string
	}{
		{kernel.AddSA{SA: kernel.SA{SAID: kernel.SAID{Dst: peer}, Src: me, Direction: kernel.Out, Binding: crypto}}, "eth0"},
		{kernel.AddSA{SA: kernel.SA{SAID: kernel.SAID{Dst: me}, Src: peer, Direction: kernel.In, Binding: crypto}}, "eth0"},
		{kernel.AddSA{SA: kernel.SA{SAID: kernel.SAID{Dst: peer}, Src: me, Direction: kernel.Out}}, ""},
		{kernel.UpdateSA{SA: kernel.SA{SAID: kernel.SAID{Dst: peer}, Src: peer, Direction: kernel.Out, Binding: crypto}}, ""},
		{kernel.AddPolicy{Policy: kernel.Policy{Selector: tunnel, Direction: kernel.Out, Binding: crypto,
			Templates: []kernel.Template{{Mode: kernel.Tunnel, Src: me, Dst: peer}}}}, "eth0"},
		{kernel.UpdatePolicy{Policy: kernel.Policy{Selector: host, Direction: kernel.In, Binding: crypto,
			Templates: []kernel.Template{{Mode: kernel.Transport}}}}, "eth0"},
	} {
		b.Submit(kernel.Request{Op: test.op})
		r := <-toy.Results()
		var got string
		switch op := r.Request.Op.(type) {
		case kernel.AddSA:
			got = op.SA.Device
		case kernel.UpdateSA:
			got = op.SA.Device
		case kernel.AddPolicy:
			got = op.Policy.Device
		case kernel.UpdatePolicy:
			got = op.Policy.Device
		}
		if got != test.want {
			t.Errorf("%+v: device %q, want %q", test.op, got, test.want)
		}
	}
}
