//go:build !linux

package xfrm

import (
	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// host is nothing where there is no XFRM: a Backend cannot be opened.
type host struct{}

func openHost() (*host, error)                { return nil, netlink.ErrNotHere }
func (*host) close() error                    { return nil }
func (*host) clamps() bool                    { return false }
func (*host) clamp(kernel.Policy) error       { return netlink.ErrNotHere }
func (*host) unclamp(kernel.Policy) error     { return netlink.ErrNotHere }
func (*host) deviceIndex(string) (int, error) { return 0, netlink.ErrNotHere }
func (*host) deviceName(int) string           { return "" }
