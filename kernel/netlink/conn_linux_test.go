package netlink

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace moves the test's thread into a network namespace of its own; the
// thread ends with the test, and the namespace with the thread.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
}

func dial(t *testing.T, family int, groups ...uint32) *Conn {
	t.Helper()
	c, err := Dial(family, groups...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// linkMessage is a message about a link: struct ifinfomsg and attributes.
func linkMessage(typ, flags uint16, change uint32, name string) Message {
	var b Builder
	header := make([]byte, 16)
	header[8], header[12] = byte(change), byte(change) // ifi_flags, ifi_change
	b.Raw(header)
	b.String(unix.IFLA_IFNAME, name)
	return Message{Type: typ, Flags: flags, Body: b.Body()}
}

func TestExecuteDumpAndGet(t *testing.T) {
	c := dial(t, unix.NETLINK_ROUTE)
	for _, flags := range []uint16{FlagDump, 0} {
		links, err := c.Execute(linkMessage(unix.RTM_GETLINK, flags, 0, "lo"))
		if err != nil || len(links) == 0 {
			t.Fatalf("flags %#x: %d links, %v", flags, len(links), err)
		}
		found := false
		for _, m := range links {
			for a := ParseAttributes(m.Body[16:]); a.Next(); {
				found = found || a.Type() == unix.IFLA_IFNAME && a.String() == "lo"
			}
		}
		if !found {
			t.Errorf("flags %#x: no link lo in %d messages", flags, len(links))
		}
	}
}

func TestExecuteRefusal(t *testing.T) {
	c := dial(t, unix.NETLINK_ROUTE)
	_, err := c.Execute(linkMessage(unix.RTM_GETLINK, 0, 0, "nosuchlink0"))
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("a link that is not there: %v", err)
	}
	_, err = c.Execute(Message{Type: unix.RTM_GETLINK, Body: make([]byte, 3)})
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("a request of three octets: %v", err)
	}
	if _, err = c.Execute(linkMessage(unix.RTM_GETLINK, 0, 0, "lo")); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

func TestReceive(t *testing.T) {
	inNamespace(t)
	events := dial(t, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	c := dial(t, unix.NETLINK_ROUTE)
	if _, err := c.Execute(linkMessage(unix.RTM_NEWLINK, 0, unix.IFF_UP, "lo")); err != nil {
		t.Fatal(err)
	}
	got, err := events.Receive()
	if err != nil || len(got) != 1 || got[0].Type != unix.RTM_NEWLINK {
		t.Errorf("%+v, %v", got, err)
	}
	if c.PID() == 0 || c.PID() == events.PID() {
		t.Errorf("port numbers %d and %d", c.PID(), events.PID())
	}
}

func TestReceiveOverrun(t *testing.T) {
	inNamespace(t)
	events := dial(t, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err := events.SetReceiveBuffer(1); err != nil { // the kernel has a minimum
		t.Fatal(err)
	}
	c := dial(t, unix.NETLINK_ROUTE)
	for i := range 64 {
		change := uint32(unix.IFF_UP)
		m := linkMessage(unix.RTM_NEWLINK, 0, change, "lo")
		if i%2 == 1 {
			m.Body[8] = 0
		}
		if _, err := c.Execute(m); err != nil {
			t.Fatal(err)
		}
	}
	for range 64 {
		_, err := events.Receive()
		if errors.Is(err, ErrOverrun) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no overrun")
}

func TestCloseEndsReceive(t *testing.T) {
	c := dial(t, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	done := make(chan error)
	go func() {
		for {
			if _, err := c.Receive(); err != nil {
				done <- err
				return
			}
		}
	}()
	c.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Receive ended with %v", err)
	}
	if _, err := c.Execute(linkMessage(unix.RTM_GETLINK, 0, 0, "lo")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Execute after Close: %v", err)
	}
}

// tableMessage is one about an nf_tables table of the family inet.
func tableMessage(typ, flags uint16, name string) Message {
	var b Builder
	b.Raw([]byte{unix.NFPROTO_INET, 0, 0, 0})
	b.String(unix.NFTA_TABLE_NAME, name)
	return Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | typ, Flags: flags, Body: b.Body()}
}

func TestBatchIsAllOrNothing(t *testing.T) {
	inNamespace(t)
	c := dial(t, unix.NETLINK_NETFILTER)
	add := tableMessage(unix.NFT_MSG_NEWTABLE, FlagCreate, "one")
	if err := c.Batch(unix.NFNL_SUBSYS_NFTABLES, []Message{add}); err != nil {
		t.Skipf("needs nf_tables: %v", err)
	}
	err := c.Batch(unix.NFNL_SUBSYS_NFTABLES, []Message{
		tableMessage(unix.NFT_MSG_NEWTABLE, FlagCreate, "two"),
		tableMessage(unix.NFT_MSG_DELTABLE, 0, "three"),
		tableMessage(unix.NFT_MSG_DELTABLE, 0, "four"),
	})
	refused, ok := errors.AsType[*Error](err)
	if !ok || refused.Index != 1 || !errors.Is(err, unix.ENOENT) {
		t.Errorf("a batch with a missing table: %v", err)
	}
	if err := c.Batch(77, []Message{add}); err == nil {
		t.Error("a subsystem that does not exist took a batch")
	}
	tables, err := c.Execute(Message{
		Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE, Flags: FlagDump,
		Body: []byte{unix.NFPROTO_INET, 0, 0, 0},
	})
	if err != nil || len(tables) != 1 {
		t.Errorf("%d tables stand, want the first one alone: %v", len(tables), err)
	}
	if err := c.Batch(unix.NFNL_SUBSYS_NFTABLES, nil); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}
