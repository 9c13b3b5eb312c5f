// SPDX-License-Identifier: Apache-2.0
//
// Rules that many kinds share (apimachinery's validation package): names, labels, quantities,
// enumerations by schema. Each returns the text of what is wrong, or adds causes.
#ifndef CORACLE_API_RULES_H
#define CORACLE_API_RULES_H

#include "api/schema.h"
#include "api/status.h"

/* Empty = fine; else upstream's sentence ("a lowercase RFC 1123 label must consist of …"). Static.
 * is_prefix: a generateName, whose last character may be what only the suffix makes legal. */
struct str rule_dns_label(struct str name, bool is_prefix);      /* RFC 1123 label, at most 63 */
struct str rule_dns_label_1035(struct str name, bool is_prefix); /* starts with a letter */
struct str rule_dns_subdomain(struct str name, bool is_prefix);  /* RFC 1123, at most 253 */
struct str rule_path_segment(struct str name, bool is_prefix);   /* not ".", "..", no '/', '%' */
struct str rule_qualified_name(struct str key); /* "[prefix/]name": label and annotation keys */
struct str rule_label_value(struct str value);
struct str rule_env_name(struct str name);  /* printable, no '=' */
struct str rule_port_name(struct str name); /* IANA_SVC_NAME */
/* Port numbers 1 to 65535: adds a cause when it isn't one. */
void check_port(const struct val *v, struct str path, struct causes *causes);
void check_not_negative(const struct val *v, struct str path, struct causes *causes);
/* Walks v by its type: every value of a field with a closed set of values must be of the set. */
void check_enums(const struct schema_type *type, const struct val *v, struct str path,
                 struct causes *causes);
/* A map of labels: keys and values; of annotations: keys (in lower case) and the sum of sizes. */
void check_labels(const struct val *labels, struct str path, struct causes *causes);
void check_annotations(const struct val *annotations, struct str path, struct causes *causes);
/* A metav1.LabelSelector. */
void check_label_selector(const struct val *selector, struct str path, struct causes *causes);
/* Adds Invalid with the rule's text when there is one. */
void check_rule(struct str wrong, struct str path, const struct val *value, struct causes *causes);

#endif
