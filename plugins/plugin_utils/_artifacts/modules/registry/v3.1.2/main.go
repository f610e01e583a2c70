// SPDX-License-Identifier: Apache-2.0
// Copyright: the weft.platform authors

// The registry that serves a bundle: distribution's own, with files as its only storage.
// Upstream's main also links the storage of five clouds, which a bundle never uses.
package main

import (
	"fmt"
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if err := registry.RootCmd.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
