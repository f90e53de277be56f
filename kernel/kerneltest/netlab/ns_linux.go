package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink/nft"
	"racoon2/kernel/netlink/route"
)

// NS is a network namespace: a network stack of its own, with a loopback that
// is up and nothing else.
type NS struct {
	Name string
	lab  *Lab
	file *os.File
}

// Namespace makes a namespace; the name is for error messages and for Publish.
func (l *Lab) Namespace(name string) (*NS, error) {
	ns := &NS{Name: name, lab: l}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		ns.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	l.onClose(ns.file.Close)
	// Addresses must be usable at once: no duplicate address detection.
	return ns, errors.Join(ns.SetUp("lo", true),
		ns.Sysctl("net/ipv6/conf/all/accept_dad", "0"),
		ns.Sysctl("net/ipv6/conf/default/accept_dad", "0"))
}

// onThread runs f on a thread of its own, which ends with it, so that no
// change of the thread's namespace reaches another goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		finished := false
		defer func() {
			if !finished { // f left by panic or runtime.Goexit (a test's FailNow)
				done <- errors.New("the function did not return")
			}
		}()
		err := f()
		finished = true
		done <- err
	}()
	return <-done
}

// Do runs f inside the namespace, on a thread of its own. Sockets, TUN devices
// and processes that f makes belong to the namespace for good; goroutines that
// f starts run outside.
func (ns *NS) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", ns.Name, err)
		}
		return f()
	})
}

// publishDir is where the ip command looks for the names of namespaces.
const publishDir = "/run/netns"

// Publish gives the namespace a name for "ip netns exec", until the Lab's Close.
func (ns *NS) Publish() error {
	if err := os.MkdirAll(publishDir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(publishDir, ns.Name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return fmt.Errorf("publish namespace %s: %w", ns.Name, err)
	}
	file.Close()
	source := fmt.Sprintf("/proc/self/fd/%d", ns.file.Fd())
	if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
		os.Remove(path)
		return fmt.Errorf("publish namespace %s: %w", ns.Name, err)
	}
	ns.lab.onClose(func() error {
		return errors.Join(unix.Unmount(path, unix.MNT_DETACH), os.Remove(path))
	})
	return nil
}

// link runs f inside the namespace with an interface of it.
func (ns *NS) link(name string, f func(*route.Conn, route.Link) error) error {
	err := ns.Do(func() error {
		return withRoute(func(c *route.Conn) error {
			link, err := c.LinkByName(name)
			if err != nil {
				return err
			}
			return f(c, link)
		})
	})
	if err != nil && !isGone(err) {
		return fmt.Errorf("namespace %s: %w", ns.Name, err)
	}
	return err
}

// Link returns an interface of the namespace.
func (ns *NS) Link(name string) (route.Link, error) {
	var found route.Link
	err := ns.link(name, func(_ *route.Conn, l route.Link) error { found = l; return nil })
	return found, err
}

// SetUp sets an interface up or down.
func (ns *NS) SetUp(link string, up bool) error {
	return ns.link(link, func(c *route.Conn, l route.Link) error { return c.SetUp(l.Index, up) })
}

// SetMTU sets an interface's largest packet.
func (ns *NS) SetMTU(link string, mtu int) error {
	return ns.link(link, func(c *route.Conn, l route.Link) error { return c.SetMTU(l.Index, mtu) })
}

// Address gives an interface addresses, "10.9.0.1/24", and waits until the
// kernel answers for them.
func (ns *NS) Address(link string, addresses ...string) error {
	return ns.link(link, func(c *route.Conn, l route.Link) error {
		var added []netip.Prefix
		for _, s := range addresses {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return err
			}
			if err := c.AddAddress(l.Index, p); err != nil {
				return err
			}
			added = append(added, p)
		}
		return usable(c, added)
	})
}

// usable waits until the kernel answers for addresses. It finishes IPv6 ones in
// the background, even without duplicate address detection; the route to them
// comes last.
func usable(c *route.Conn, added []netip.Prefix) error {
	const patience, pause = 5 * time.Second, time.Millisecond
	end := time.Now().Add(patience)
	for _, p := range added {
		for {
			r, err := c.Lookup(p.Addr(), 0)
			if err == nil && r.Kind == route.Local {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("address %s does not become usable: %v", p, err)
			}
			time.Sleep(pause)
		}
	}
	return nil
}

// Route sends a destination ("0.0.0.0/0") by a gateway.
func (ns *NS) Route(dst, gateway string) error {
	to, err := netip.ParsePrefix(dst)
	if err != nil {
		return err
	}
	by, err := netip.ParseAddr(gateway)
	if err != nil {
		return err
	}
	return ns.Do(func() error {
		return withRoute(func(c *route.Conn) error { return c.AddRoute(route.Route{Dst: to, Gateway: by}) })
	})
}

// Sysctl writes a setting of the namespace: "net/ipv4/ip_forward", "1".
func (ns *NS) Sysctl(name, value string) error {
	return ns.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644)
	})
}

// ReadSysctl reads a setting of the namespace.
func (ns *NS) ReadSysctl(name string) (value string, err error) {
	err = ns.Do(func() error {
		b, err := os.ReadFile(filepath.Join("/proc/sys", name))
		value = strings.TrimSpace(string(b))
		return err
	})
	return value, err
}

// Forwarding makes the namespace a router of both families.
func (ns *NS) Forwarding() error {
	return errors.Join(ns.Sysctl("net/ipv4/ip_forward", "1"), ns.Sysctl("net/ipv6/conf/all/forwarding", "1"))
}

// natTable is the table that Masquerade makes.
const natTable nft.Table = "netlab"

// Masquerade makes the namespace a NAT: what it forwards out of a link gets the
// link's address, and, when first is not 0, a source port from first to last.
func (ns *NS) Masquerade(link string, first, last uint16) error {
	return ns.Do(func() error {
		c, err := nft.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		var b nft.Batch
		b.AddTable(natTable)
		b.AddChain(nft.Chain{Table: natTable, Name: "nat", Type: "nat", Hook: nft.PostRouting, Priority: nft.PrioritySourceNAT})
		b.FlushChain(natTable, "nat")
		if first != 0 {
			b.AddRule(nft.Rule{Table: natTable, Chain: "nat", Exprs: []nft.Expr{
				nft.OutInterface(link), nft.Proto(unix.IPPROTO_UDP), nft.Masquerade(first, last),
			}})
		}
		b.AddRule(nft.Rule{Table: natTable, Chain: "nat", Exprs: []nft.Expr{nft.OutInterface(link), nft.Masquerade(0, 0)}})
		return c.Commit(&b)
	})
}
