// SPDX-License-Identifier: Apache-2.0
//
// The composition root: the only file that knows every room.
int main(void)
{
    return 0;
}
