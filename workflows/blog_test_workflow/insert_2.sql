INSERT INTO rsql_blog.blog_table (id, data) VALUES (2, 'row 2');
