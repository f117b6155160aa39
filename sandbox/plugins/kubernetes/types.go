//go:build ignore

// Generates types.json: the JSON fields of the Go types of Kubernetes' API, for kinds that programs create.
//
//	cd sandbox/tools/kubernetes && go run ../../plugins/kubernetes/types.go > ../../plugins/kubernetes/types.json
package main

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes/scheme"
)

const omitted = "?" // after a shape: empty values are omitted

// excluded are kinds that programs don't create: responses, requests and objects of controllers. The official provider
// does not decode Secrets into their type (clients/unstructured.go of pulumi-kubernetes).
var excluded = strings.Fields(`Binding ComponentStatus ControllerRevision Event Eviction LocalSubjectAccessReview Node
	PodStatusResult RangeAllocation Scale Secret SelfSubjectAccessReview SelfSubjectReview SelfSubjectRulesReview
	SubjectAccessReview TokenRequest TokenReview`)

var (
	types     = map[string]map[string]string{}
	quantity  = reflect.TypeFor[resource.Quantity]()
	marshaler = reflect.TypeFor[json.Marshaler]()
)

func shape(t reflect.Type) string {
	switch {
	case t == quantity:
		return "quantity"
	case t.Kind() == reflect.Pointer:
		return shape(t.Elem())
	case t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler):
		return "any"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "[]" + shape(t.Elem())
	case reflect.Map:
		return "{}" + shape(t.Elem())
	case reflect.Struct:
		name := path.Base(path.Dir(t.PkgPath())) + "/" + path.Base(t.PkgPath()) + "." + t.Name()
		if types[name] == nil {
			types[name] = map[string]string{}
			addFields(t, types[name])
		}
		return name
	}
	return "any"
}

func addFields(t reflect.Type, fields map[string]string) {
	for i := range t.NumField() {
		field := t.Field(i)
		tag, found := field.Tag.Lookup("json")
		name, flags, _ := strings.Cut(tag, ",")
		switch {
		case name == "" && field.Anonymous:
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			addFields(inner, fields)
		case !found || name == "-" || name == "managedFields":
		case name == "status" && field.Type.Kind() == reflect.Struct:
			fields[name] = "any" // it is never an input
		default:
			fields[name] = shape(field.Type)
			kind := field.Type.Kind()
			if strings.Contains(flags, "omitempty") && kind != reflect.Pointer && kind != reflect.Struct {
				fields[name] += omitted
			}
		}
	}
}

func lines[T any](of map[string]T) string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		value, _ := json.Marshal(of[key])
		keys[i] = fmt.Sprintf(" %q: %s", key, value)
	}
	return strings.Join(keys, ",\n")
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "k8s.io/api" && module.Replace != nil {
			return module.Replace.Version
		} else if module.Path == "k8s.io/api" {
			return module.Version
		}
	}
	panic("k8s.io/api is not there")
}

func main() {
	kinds := map[string]string{}
	for gvk, t := range scheme.Scheme.AllKnownTypes() {
		_, isObject := t.FieldByName("ObjectMeta")
		isStable := strings.Trim(gvk.Version, "v0123456789") == ""
		if isObject && isStable && !slices.Contains(excluded, gvk.Kind) {
			kinds[gvk.GroupVersion().String()+"/"+gvk.Kind] = shape(t)
		}
	}
	fmt.Printf("{\n\"version\": %q,\n\"kinds\": {\n%s\n},\n\"types\": {\n%s\n}\n}\n", version(), lines(kinds), lines(types))
}
