package agent

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"racoon2/kernel/fake"
)

// openTest opens a socket on a free port.
func openTest(t *testing.T, addr string, nat bool) *endpoint {
	t.Helper()
	k := fake.NewBackend(fake.New("test"), nil, nil)
	t.Cleanup(func() { k.Close() })
	e, err := open(bind{addr: netip.MustParseAddrPort(addr), nat: nat}, k, true)
	if err != nil {
		t.Skipf("no socket on %s here: %v", addr, err)
	}
	t.Cleanup(func() { e.conn.Close() })
	return e
}

// TestAnswerLeavesFromTheAddressAsked has a client ask one of the many loopback
// addresses of a socket for all of them.
func TestAnswerLeavesFromTheAddressAsked(t *testing.T) {
	if !packetInfo {
		t.Skip("this system has a socket for each address")
	}
	for _, test := range []struct{ listen, ask, client string }{
		{"0.0.0.0:0", "127.0.0.77", "127.0.0.1:0"},
		{"[::]:0", "::1", "[::1]:0"},
	} {
		e := openTest(t, test.listen, false)
		client, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(test.client)))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		asked := netip.AddrPortFrom(netip.MustParseAddr(test.ask), e.LocalPort())
		if _, err := client.WriteToUDPAddrPort([]byte("question"), asked); err != nil {
			t.Fatal(err)
		}
		buf, control := make([]byte, 100), make([]byte, controlSize)
		n, cn, _, remote, err := e.conn.ReadMsgUDPAddrPort(buf, control)
		if err != nil {
			t.Fatal(err)
		}
		to, ok := destination(control[:cn])
		if !ok || to != asked.Addr() || string(buf[:n]) != "question" {
			t.Fatalf("got %q to %v (%v), want it to %v", buf[:n], to, ok, asked.Addr())
		}
		for range 2 { // the second time the control message is remembered
			if err := e.WriteFrom([]byte("answer"), to, remote); err != nil {
				t.Fatal(err)
			}
			if err := client.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, from, err := client.ReadFromUDPAddrPort(buf)
			if err != nil || from != asked {
				t.Errorf("answer from %v, %v; want %v", from, err, asked)
			}
		}
	}
}

func TestDestinationOfNonsense(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, make([]byte, 15), bytes.Repeat([]byte{0xff}, 64)} {
		if a, ok := destination(b); ok {
			t.Errorf("%x is taken for %v", b, a)
		}
	}
}

func TestBusyPort(t *testing.T) {
	e := openTest(t, "127.0.0.1:0", false)
	k := fake.NewBackend(fake.New("test"), nil, nil)
	defer k.Close()
	_, err := open(bind{addr: e.addr, where: "racoon2.conf:3:7"}, k, true)
	want := "racoon2.conf:3:7: UDP " + e.addr.String() + " is in use by another program (another IKE daemon?)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = open(bind{addr: netip.MustParseAddrPort("192.0.2.77:0")}, k, true)
	if err == nil || !strings.Contains(err.Error(), "192.0.2.77 is not an address of this host") {
		t.Errorf("foreign address: %v", err)
	}
}

func TestNonESPMarker(t *testing.T) {
	plain, nat := openTest(t, "127.0.0.1:0", false), openTest(t, "127.0.0.1:0", true)
	var s endpoints
	s.set([]*endpoint{plain, nat})
	client, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	to := client.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, test := range []struct {
		from *endpoint
		data string
		want string
	}{
		{plain, "message", "message"},
		{nat, "message", "\x00\x00\x00\x00message"},
		{nat, "\xff", "\xff"}, // a keepalive has no marker
	} {
		if err := s.send(test.from.addr, to, []byte(test.data)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if err := client.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := client.Read(buf)
		if err != nil || string(buf[:n]) != test.want {
			t.Errorf("sent %q, arrived %q, %v; want %q", test.data, buf[:n], err, test.want)
		}
	}
	if err := s.send(netip.MustParseAddrPort("127.0.0.1:1"), to, nil); err == nil {
		t.Error("sent from a port that is not ours")
	}
	s.close()
	if _, err := plain.conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestFindSocket(t *testing.T) {
	mk := func(addr string) *endpoint { return &endpoint{bind: bind{addr: netip.MustParseAddrPort(addr)}} }
	all4, one4, all6 := mk("0.0.0.0:500"), mk("10.0.0.1:500"), mk("[::]:500")
	var s endpoints
	s.set([]*endpoint{all4, one4, all6})
	for addr, want := range map[string]*endpoint{
		"10.0.0.1:500": one4, "10.0.0.2:500": all4, "[fd00::1]:500": all6, "10.0.0.1:4500": nil,
	} {
		if got := s.find(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s is sent from %v", addr, got)
		}
	}
}
