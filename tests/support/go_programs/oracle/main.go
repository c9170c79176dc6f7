// Prints the functions of a Go program, read by Go's own debug/gosym: address and end in hexadecimal, then the name.
// Arguments: the file of the function table, the address of runtime.text in hexadecimal.
package main

import (
	"debug/gosym"
	"fmt"
	"os"
	"strconv"
)

func main() {
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	text, err := strconv.ParseUint(os.Args[2], 16, 64)
	if err != nil {
		panic(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, text))
	if err != nil {
		panic(err)
	}
	for _, function := range table.Funcs {
		fmt.Printf("%x %x %s\n", function.Entry, function.End, function.Name)
	}
}
