//go:build linux

// Demo shows racoon2's main job on this machine: two hosts, each with nothing
// but the binary, a racoon2.conf and a pre-shared key, protect the traffic
// between two networks. The hosts are network namespaces; ESP is carried by
// racoon2 itself, so that any Linux kernel will do. Everything is removed at
// the end. It needs root and Go, and no other program.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"racoon2/kernel/kerneltest/netlab"

	"golang.org/x/sys/unix"
)

func main() {
	verbose := flag.Bool("v", false, "print the agents' logs at the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// missing says plainly what this machine lacks.
func missing() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("this needs root, for network namespaces and a TUN device: try \"sudo make demo\"")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("this needs a TUN device: %w (modprobe tun?)", err)
	}
	return nil
}

func run(ctx context.Context, verbose bool) error {
	if err := missing(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "racoon2-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	step("Building racoon2")
	binary := filepath.Join(dir, "racoon2")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "racoon2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}

	lab, err := netlab.New()
	if err != nil {
		return err
	}
	defer lab.Close()
	hosts, err := twoHosts(ctx, lab, dir, binary)
	if err != nil {
		return err
	}
	left, right := hosts[0], hosts[1]
	defer left.kill()
	defer right.kill()
	if verbose {
		defer left.printLog()
		defer right.printLog()
	}
	return show(ctx, left, right)
}

// show is the demonstration itself.
func show(ctx context.Context, left, right *host) error {
	wire, err := right.ns.Capture("wan")
	if err != nil {
		return err
	}
	defer wire.Stop()

	step("Starting an agent on each host")
	for _, h := range []*host{left, right} {
		if err := h.start(ctx); err != nil {
			return err
		}
	}

	step("A ping from %s to %s starts the negotiation", left.inner, right.inner)
	if err := ping(left, right); err != nil {
		return err
	}
	if err := onTheWire(wire); err != nil {
		return err
	}

	for _, h := range []*host{left, right} {
		step("racoon2 status on %s", h.ns.Name)
		if err := h.print("status"); err != nil {
			return err
		}
	}

	step("racoon2 sa flush on %s, and the tunnel comes back", left.ns.Name)
	if err := left.print("sa", "flush"); err != nil {
		return err
	}
	if err := ping(left, right); err != nil {
		return err
	}
	if err := onTheWire(wire); err != nil {
		return err
	}

	step("An orderly end")
	for _, h := range []*host{left, right} {
		if err := h.stop(); err != nil {
			return err
		}
	}
	fmt.Println("Both agents have gone; namespaces, keys and files are removed.")
	return nil
}

// ping sends echoes until one is answered, then three more.
func ping(left, right *host) error {
	p := netlab.Ping{From: left.inner, To: right.inner, Timeout: time.Second}
	begin := time.Now()
	if err := left.ns.PingUntil(p, 15*time.Second); err != nil {
		return fmt.Errorf("no answer through the tunnel: %w (-v shows the logs)", err)
	}
	fmt.Printf("answered after %d ms, negotiation included", time.Since(begin).Milliseconds())
	for range 3 {
		begin = time.Now()
		if err := left.ns.Ping(p); err != nil {
			return err
		}
		fmt.Printf(", %.1f ms", float64(time.Since(begin).Microseconds())/1000)
	}
	fmt.Println()
	return nil
}

// onTheWire counts what passed between the hosts and refuses clear packets.
func onTheWire(wire *netlab.Capture) error {
	time.Sleep(100 * time.Millisecond) // the capture's own delay
	ike, esp, clear := wire.Count(netlab.IKE), wire.Count(netlab.ESP)+wire.Count(netlab.ESPInUDP), wire.Count(netlab.Clear)
	fmt.Printf("on the wire: %d IKE messages, %d ESP packets, %d clear packets\n", ike, esp, clear)
	if esp == 0 || clear != 0 {
		return fmt.Errorf("expected ESP and nothing in clear on the wire")
	}
	return nil
}

func step(format string, args ...any) {
	fmt.Printf("\n== "+format+"\n", args...)
}

// twoHosts makes the namespaces, their addresses and their files.
func twoHosts(ctx context.Context, lab *netlab.Lab, dir, binary string) ([2]*host, error) {
	var hosts [2]*host
	secret, err := newSecret()
	if err != nil {
		return hosts, err
	}
	ends := [2]end{
		{name: "left", outer: "192.0.2.1", inner: "10.1.0.1", net: "10.1.0.0/24"},
		{name: "right", outer: "192.0.2.2", inner: "10.2.0.1", net: "10.2.0.0/24"},
	}
	for i := range hosts {
		ns, err := lab.Namespace(ends[i].name)
		if err != nil {
			return hosts, err
		}
		hosts[i] = &host{ns: ns, binary: binary, dir: filepath.Join(dir, ends[i].name), inner: netip.MustParseAddr(ends[i].inner)}
	}
	if err := lab.Join(hosts[0].ns, "wan", hosts[1].ns, "wan"); err != nil {
		return hosts, err
	}
	for i, h := range hosts {
		me, peer := ends[i], ends[1-i]
		if err := h.ns.Address("wan", me.outer+"/24"); err != nil {
			return hosts, err
		}
		if err := h.ns.Address("lo", me.inner+"/24"); err != nil {
			return hosts, err
		}
		if err := h.ns.Route(peer.net, peer.outer); err != nil {
			return hosts, err
		}
		if err := h.configure(me, peer, secret); err != nil {
			return hosts, err
		}
	}
	return hosts, nil
}
