//go:build !linux

package xfrm

import (
	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// Bypass says that this system has no xfrm.
func (b *Backend) Bypass(kernel.Socket) error { return netlink.ErrNotHere }

// AttachEncap says that this system has no xfrm.
func (b *Backend) AttachEncap(kernel.Socket) error { return netlink.ErrNotHere }
